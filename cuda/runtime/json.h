// The little JSON that reports need.
#pragma once
#include <cstdio>
#include <string>

namespace statespace::cuda {

inline std::string json_string(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", c);
      result += escaped;
    } else {
      result += c;
    }
  }
  return result + '"';
}

// Members of an object or elements of an array, with commas between them.
class JsonList {
 public:
  void add(const std::string& element) {
    if (!text_.empty()) text_ += ',';
    text_ += element;
  }
  void add(const char* key, const std::string& value) { add(json_string(key) + ":" + value); }
  std::string object() const { return "{" + text_ + "}"; }
  std::string array() const { return "[" + text_ + "]"; }

 private:
  std::string text_;
};

}  // namespace statespace::cuda
