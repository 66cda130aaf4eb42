// The one error of the native side: a stable code, a message, and numbers that help (bytes requested, free, ...).
#pragma once
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace statespace {

// Visible, because the CUDA library throws it and the addon catches it.
class __attribute__((visibility("default"))) Error : public std::exception {
 public:
  using Numbers = std::vector<std::pair<std::string, double>>;

  Error(const char* code, std::string message, Numbers numbers = {})
      : code_(code), message_(std::move(message)), numbers_(std::move(numbers)) {}

  const char* code() const { return code_; }
  const std::string& message() const { return message_; }
  const Numbers& numbers() const { return numbers_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  const char* code_;  // a literal
  std::string message_;
  Numbers numbers_;
};

}  // namespace statespace
