#include "tests/support/in_child.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "pagoda/base/check.h"

namespace pagoda::testing {

void* shared_memory(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  PAGODA_CHECK(memory != MAP_FAILED);
  return memory;
}

std::string in_child(const std::function<std::string()>& body) {
  using Message = std::array<char, 4096>;
  static Message& said = *static_cast<Message*>(shared_memory(sizeof(Message)));
  said[0] = '\0';
  const pid_t child = fork();
  if (child == 0) {
    const std::string message = body();
    std::strncpy(said.data(), message.c_str(), said.size() - 1);
    _exit(message.empty() ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return "no child";
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  if (said[0] != '\0') return said.data();
  return WIFSIGNALED(status) ? "died of signal " + std::to_string(WTERMSIG(status)) : "died";
}

}  // namespace pagoda::testing
