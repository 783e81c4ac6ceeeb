// The figures of `pagoda bench`, one function for each name. bench/register.cpp lists them.
#pragma once

#include "bench/command.h"
#include "pagoda/base/input_error.h"

namespace pagoda::bench {

Input<> demand_zero_fault(const BenchOptions& options, BenchOutput& out);
Input<> soft_fault(const BenchOptions& options, BenchOutput& out);
Input<> hard_fault_cpu(const BenchOptions& options, BenchOutput& out);
Input<> shared_fault(const BenchOptions& options, BenchOutput& out);
Input<> cow_fault(const BenchOptions& options, BenchOutput& out);
Input<> map_unmap_view(const BenchOptions& options, BenchOutput& out);
Input<> fork_clone(const BenchOptions& options, BenchOutput& out);
Input<> tlb_hit_load(const BenchOptions& options, BenchOutput& out);
Input<> fault_scale_memory(const BenchOptions& options, BenchOutput& out);
Input<> vad_place(const BenchOptions& options, BenchOutput& out);
Input<> vad_scale(const BenchOptions& options, BenchOutput& out);
Input<> balloon(const BenchOptions& options, BenchOutput& out);
Input<> write_watch_scan(const BenchOptions& options, BenchOutput& out);
Input<> zero_detect(const BenchOptions& options, BenchOutput& out);
Input<> compress(const BenchOptions& options, BenchOutput& out);
Input<> share_scan(const BenchOptions& options, BenchOutput& out);
Input<> share_found(const BenchOptions& options, BenchOutput& out);
Input<> share_yield(const BenchOptions& options, BenchOutput& out);
Input<> share_hints(const BenchOptions& options, BenchOutput& out);
Input<> sampling(const BenchOptions& options, BenchOutput& out);
Input<> sharing_idle(const BenchOptions& options, BenchOutput& out);
Input<> trace_replay(const BenchOptions& options, BenchOutput& out);
Input<> slat_fault(const BenchOptions& options, BenchOutput& out);
Input<> guest_tlb_hit(const BenchOptions& options, BenchOutput& out);
Input<> guest_replay(const BenchOptions& options, BenchOutput& out);
Input<> policy_round(const BenchOptions& options, BenchOutput& out);
Input<> policies(const BenchOptions& options, BenchOutput& out);
Input<> esx(const BenchOptions& options, BenchOutput& out);
Input<> mmu(const BenchOptions& options, BenchOutput& out);
Input<> growth(const BenchOptions& options, BenchOutput& out);
Input<> replacement(const BenchOptions& options, BenchOutput& out);

}  // namespace pagoda::bench
