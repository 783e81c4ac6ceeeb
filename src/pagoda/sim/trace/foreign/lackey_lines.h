// What valgrind's lackey prints, and the traces of CS:APP's cache lab, which are its lines in other clothes.
//
//   "I  0401a2b0,3"   fetch      " L 1ffefff8,8"   load      " S ..."   store      " M ..."   load and store (two
//   references)       "SB 0401a2b0"   a superblock begins: its first "I" says so again
//
// Lackey pads addresses to eight digits and ends a line with the size. The cache lab's do neither ("L 10,4", "L 10,4 25"
// with the value behind), and its own simulators leave fetches out. Blanks do not matter in either.
// Source: valgrind 3.19, lackey/lk_main.c (trace_instr, trace_load, trace_store, trace_modify); reference formats.md 5.
#pragma once

#include <cstddef>
#include <memory>

#include "pagoda/sim/trace/foreign/foreign_parser.h"

namespace pagoda::sim {

std::unique_ptr<ForeignParser> make_lackey_parser(const ForeignSample& sample);
std::size_t fits_lackey(const ForeignSample& sample);

std::unique_ptr<ForeignParser> make_cachelab_parser(const ForeignSample& sample);
// 0 if lackey itself may have printed all of it.
std::size_t fits_cachelab(const ForeignSample& sample);

}  // namespace pagoda::sim
