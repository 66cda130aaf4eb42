// Runs recorded calls of ops again, in the emulator: every tensor in a block of exactly its size, outputs poisoned, and
// the results compared bit for bit. Each call runs in a process of its own, so that a sanitizer's end of it is counted.
//   replay [--list] [--order forward|backward] [--no-fork] FILE-OR-FOLDER...
#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cpp/core/error.h"
#include "cuda/emulator/cuda_emulator.h"
#include "cuda/emulator/emulated_call.h"
#include "cuda/emulator/emulated_run.h"
#include "cuda/kernels/op_table.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace statespace::cuda {
namespace {

constexpr uint8_t kPoison = 0xff;
constexpr int kDiffers = 3;  // exit status; the sanitizers have others

// The bytes of one view, at the address modulo 256 that they had, ending where the block ends.
class Block {
 public:
  explicit Block(const RecordedField& field) : range_(range_of(field.tensor)) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, std::max<size_t>(field.misalignment + range_.bytes, 1)) != 0) std::abort();
    memory_.reset(memory);
    begin_ = static_cast<uint8_t*>(memory) + field.misalignment;
#if defined(__SANITIZE_ADDRESS__)
    ASAN_POISON_MEMORY_REGION(memory, field.misalignment);
#endif
    before_ = field.role == Role::out ? std::vector<uint8_t>(range_.bytes, kPoison) : field.bytes;
    before_.resize(range_.bytes);
    std::copy(before_.begin(), before_.end(), begin_);
  }

  void* first_element() const { return begin_ + range_.before; }

  // What is wrong with the bytes after the call, or nothing.
  std::string compare(const RecordedField& field) const {
    const std::vector<uint8_t> belongs = bytes_of_view(field.tensor);
    const size_t size = size_of(field.tensor.dtype);
    for (size_t i = 0; i < range_.bytes; ++i) {
      const bool expects_result = field.written && belongs[i];
      const uint8_t expected = expects_result ? field.after[i] : before_[i];
      if (begin_[i] == expected) continue;
      // Which of two NaNs comes out of an addition is the compiler's choice.
      if (expects_result && both_nan(field, i / size * size)) continue;
      const char* where = belongs[i] ? (field.written ? "differs" : "was changed") : "was written between its rows";
      return field.name + " " + where + " at element " + std::to_string(i / size) + describe(field, i / size * size);
    }
    return {};
  }

 private:
  static float number(const uint8_t* bytes, DType dtype) {
    switch (dtype) {
      case DType::float32:
        return value<float>(bytes);
      case DType::bfloat16:
        return statespace::to_float(value<statespace::bf16>(bytes));
      case DType::float16:
        return statespace::to_float(value<statespace::f16>(bytes));
      default:
        return static_cast<float>(value<int32_t>(bytes));
    }
  }
  template <typename T>
  static T value(const uint8_t* bytes) {
    T value;
    std::memcpy(&value, bytes, sizeof(value));
    return value;
  }
  bool both_nan(const RecordedField& field, size_t at) const {
    if (!is_floating(field.tensor.dtype)) return false;
    const float got = number(begin_ + at, field.tensor.dtype), want = number(&field.after[at], field.tensor.dtype);
    return got != got && want != want;
  }
  std::string describe(const RecordedField& field, size_t at) const {
    if (!field.written) return {};
    char text[80];
    std::snprintf(text, sizeof(text), ": %.9g, recorded %.9g",
                  static_cast<double>(number(begin_ + at, field.tensor.dtype)),
                  static_cast<double>(number(&field.after[at], field.tensor.dtype)));
    return text;
  }

  struct Free {
    void operator()(void* memory) const {
#if defined(__SANITIZE_ADDRESS__)
      ASAN_UNPOISON_MEMORY_REGION(memory, 256);
#endif
      std::free(memory);
    }
  };
  ByteRange range_;
  std::unique_ptr<void, Free> memory_;
  uint8_t* begin_;
  std::vector<uint8_t> before_;
};

// What went wrong, or nothing.
std::string replay(const RecordedCall& call) {
  if (call.layout_hash != op_layout_hash()) return "was recorded with other ops: record it again";
  std::vector<uint64_t> op(op_entry(call.index).bytes / sizeof(uint64_t) + 1);
  const std::vector<FieldView> fields = fields_of(call.index, op.data());
  std::vector<std::unique_ptr<Block>> blocks(fields.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    const RecordedField& field = call.fields[i];
    if (fields[i].attribute) {
      std::memcpy(fields[i].attribute, field.bytes.data(), fields[i].attribute_bytes);
      continue;
    }
    *fields[i].tensor = field.tensor;
    if (!field.tensor) continue;
    blocks[i] = std::make_unique<Block>(field);
    fields[i].tensor->data = blocks[i]->first_element();
  }
  try {
    run_emulated(call.index, op.data());
  } catch (const Error& error) {
    return error.message();
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!blocks[i]) continue;
    if (std::string problem = blocks[i]->compare(call.fields[i]); !problem.empty()) return problem;
  }
  return {};
}

std::string describe(const RecordedCall& call) {
  std::string text = call.name;
  for (const RecordedField& field : call.fields) {
    if (!field.tensor) continue;
    text += " " + field.name + "[";
    for (int i = 0; i < field.tensor.rank; ++i) text += (i ? "," : "") + std::to_string(field.tensor.shape[i]);
    text += "]" + std::string(name_of(field.tensor.dtype));
  }
  return text;
}

bool run_file(const std::string& path) {
  std::string problem;
  try {
    const RecordedCall call = read_call(path);
    problem = replay(call);
    if (!problem.empty()) problem += "\n  " + describe(call);
  } catch (const Error& error) {
    problem = error.message();
  }
  if (problem.empty()) return true;
  std::printf("FAILED %s\n  %s\n", path.c_str(), problem.c_str());
  return false;
}

bool run_in_child(const std::string& path) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) std::exit(run_file(path) ? 0 : kDiffers);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) {
    std::printf("FAILED %s\n  no process could be started\n", path.c_str());
    return false;
  }
  if (WIFSIGNALED(status))
    std::printf("FAILED %s\n  ended by signal %d\n", path.c_str(), WTERMSIG(status));
  else if (status != 0 && WEXITSTATUS(status) != kDiffers)
    std::printf("FAILED %s\n  a sanitizer reported an error\n", path.c_str());
  return status == 0;
}

void collect(const std::string& path, std::vector<std::string>& files) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    files.push_back(path);
    return;
  }
  std::vector<std::string> names;
  DIR* folder = opendir(path.c_str());
  while (const dirent* entry = folder ? readdir(folder) : nullptr) {
    const std::string name = entry->d_name;
    if (name.size() > 5 && name.compare(name.size() - 5, 5, ".call") == 0) names.push_back(path + "/" + name);
  }
  if (folder) closedir(folder);
  std::sort(names.begin(), names.end());
  files.insert(files.end(), names.begin(), names.end());
}

int main_of_replay(int argc, char** argv) {
  bool list = false, forks = true;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--list")
      list = true;
    else if (argument == "--no-fork")
      forks = false;
    else if (argument == "--order" && i + 1 < argc) {
      if (std::strcmp(argv[++i], "backward") == 0) emulator::options.order = emulator::Order::kBackward;
    } else
      collect(argument, files);
  }
  int passed = 0, failed = 0;
  for (const std::string& file : files) {
    if (list)
      std::printf("%s: %s\n", file.c_str(), describe(read_call(file)).c_str());
    else if (forks ? run_in_child(file) : run_file(file))
      ++passed;
    else
      ++failed;
  }
  if (list) return 0;
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace statespace::cuda

int main(int argc, char** argv) {
  try {
    return statespace::cuda::main_of_replay(argc, argv);
  } catch (const statespace::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
