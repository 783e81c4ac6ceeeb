/* The native API from C: a section that two processes map, one of them by copy. */
#include <pagoda/nt.h>
#include <stdio.h>
#include <stdlib.h>

static void must(NTSTATUS status, const char* what) {
  if (status >= 0) return;
  fprintf(stderr, "%s: status 0x%08X\n", what, (unsigned)status);
  exit(EXIT_FAILURE);
}

/* Maps the section into the process and says where. */
static char* map(HANDLE section, HANDLE process, ULONG protection) {
  PVOID base = NULL;
  SIZE_T size = 0;
  must(NtMapViewOfSection(section, process, &base, 0, 0, NULL, &size, ViewShare, 0, protection), "NtMapViewOfSection");
  return base;
}

int main(void) {
  PAGODA_KERNEL* kernel = NULL;
  PAGODA_KERNEL_CONFIG config = {sizeof config, 16u << 20, PagodaPagingAmd64, 1, 16u << 20, NULL, 0};
  must(PagodaCreateKernel(&config, &kernel), "PagodaCreateKernel");
  must(PagodaEnter(kernel), "PagodaEnter");

  HANDLE section = NULL;
  LARGE_INTEGER bytes = {.QuadPart = 1 << 20};
  must(NtCreateSection(&section, SECTION_ALL_ACCESS, NULL, &bytes, PAGE_READWRITE, SEC_COMMIT, NULL),
       "NtCreateSection");
  HANDLE other = NULL;
  must(PagodaCreateProcess(&other, PROCESS_ALL_ACCESS, NtCurrentProcess(), 0), "PagodaCreateProcess");
  char* here = map(section, NtCurrentProcess(), PAGE_READWRITE);
  char* there = map(section, other, PAGE_WRITECOPY);

  char text[32] = "";
  must(PagodaStore(here, "shared", 7), "PagodaStore");
  must(NtReadVirtualMemory(other, there, text, 7, NULL), "NtReadVirtualMemory");
  printf("the other process reads: %s\n", text);

  must(NtWriteVirtualMemory(other, there, "its own", 8, NULL), "NtWriteVirtualMemory");
  must(PagodaStore(here, "changed", 8), "PagodaStore");
  must(NtReadVirtualMemory(other, there, text, 8, NULL), "NtReadVirtualMemory");
  printf("after it wrote:          %s\n", text);

  MEMORY_BASIC_INFORMATION info;
  must(NtQueryVirtualMemory(other, there, MemoryBasicInformation, &info, sizeof info, NULL), "NtQueryVirtualMemory");
  printf("its first page:          %zu KiB, protection 0x%02X; the view was made with 0x%02X\n", info.RegionSize / 1024,
         info.Protect, info.AllocationProtect);
  printf("wild address:            status 0x%08X\n", (unsigned)PagodaStore((PVOID)0x10, "x", 1));

  must(PagodaLeave(), "PagodaLeave");
  must(PagodaDestroyKernel(kernel), "PagodaDestroyKernel");
  return 0;
}
