// The smallest program that embeds Pagoda: it asks the installed library for a page's size and says which version it
// found.
#include <pagoda/base/units.h>
#include <pagoda/base/version.h>

#include <cstdio>

int main() {
  const pagoda::VirtualAddress address(0x7ff'0123);
  std::printf("pagoda %s: %s lies on %s, %s long\n", pagoda::kVersion, to_string(address).c_str(),
              to_string(address.vpn()).c_str(), to_string(pagoda::kPageSize).c_str());
}
