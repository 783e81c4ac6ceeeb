// All benchmarks, in the order in which they run.
#include "bench/figures.h"

namespace pagoda::bench {

namespace {

const BenchRegistration kRegistration({
    {.name = "demand_zero_fault",
     .what = "first write to a fresh page; beside Linux's first touch of anonymous memory",
     .run = demand_zero_fault},
    {.name = "soft_fault", .what = "a page back from standby; beside Linux's minor fault", .run = soft_fault},
    {.name = "hard_fault_cpu",
     .what = "a page back from a paging file, without the disk and the moving of bytes",
     .run = hard_fault_cpu},
    {.name = "shared_fault",
     .what = "a page that another process has in memory; beside Linux's minor fault on a shared memfd",
     .run = shared_fault},
    {.name = "cow_fault",
     .what = "the first write to a page that is shared until written; beside Linux's after fork",
     .run = cow_fault},
    {.name = "map_unmap_view", .what = "a 64 KB view made and ended; beside mmap and munmap", .run = map_unmap_view},
    {.name = "fork_clone",
     .what = "a space with 256 MB resident forked, and the fork ended; beside Linux's fork and exit",
     .run = fork_clone},
    {.name = "tlb_hit_load", .what = "8-byte loads that hit; beside a bare software TLB", .run = tlb_hit_load},
    {.name = "fault_scale_memory",
     .what = "first writes on a 64 MiB host against a 1 TiB host",
     .run = fault_scale_memory},
    {.name = "vad_place",
     .what = "reserve and release 64 KB among 50,000 regions; beside mmap and munmap",
     .run = vad_place},
    {.name = "vad_scale", .what = "the same among 1,000,000 regions against 1,000", .run = vad_scale},
    {.name = "write_watch_scan",
     .what = "collect and reset 100,000 written pages among 1,000,000; beside PAGEMAP_SCAN",
     .run = write_watch_scan},
    {.name = "zero_detect",
     .what = "pages of zeros found to be that; beside memcmp with a zero page",
     .run = zero_detect},
    {.name = "compress",
     .what = "pages of a real program into the compression store and back; beside LZ4 on the same pages",
     .run = compress},
    {.name = "trace_replay",
     .what = "references of real programs whose memory fits; beside an LRU list",
     .run = trace_replay},
    {.name = "slat_fault",
     .what = "a guest's first write to a page, through two managers; beside the same on the bare host",
     .run = slat_fault},
    {.name = "guest_tlb_hit",
     .what = "8-byte loads in a guest that hit; beside the same on the bare host",
     .run = guest_tlb_hit},
    {.name = "guest_replay",
     .what = "references of real programs in a guest; beside the same on the bare host",
     .run = guest_replay},
    {.name = "mmu",
     .what = "microbenchmarks of the MMU, bare and under shadow and nested paging; modelled cycles, exits, loads",
     .by_default = Benchmark::Default::kNo,
     .run = mmu},
    {.name = "replacement",
     .what = "pages brought in by real programs in too little memory; beside LRU, OPT, CLOCK, FIFO",
     .by_default = Benchmark::Default::kNo,
     .run = replacement},
});

}  // namespace

}  // namespace pagoda::bench
