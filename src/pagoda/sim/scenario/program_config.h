// What a process runs, as a scenario says it: plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "pagoda/base/units.h"
#include "pagoda/sim/demand_curve.h"
#include "pagoda/sim/image/take_as.h"

namespace pagoda::sim {

// Names of files are as found: a scenario's are relative to its folder.

// A recorded program.
struct TraceConfig {
  std::string file;
  std::uint64_t repeat = 1;
};

// A program made up from a few numbers (generator.h).
struct GeneratorConfig {
  enum class Kind : std::uint8_t { kSequential, kUniform, kZipf, kPhases } kind = Kind::kUniform;
  PageCount memory;
  std::uint64_t operations = 0;
  double writes = 0.3;                 // Share of operations that store.
  std::uint64_t references = 1000;     // Raw references that one operation stands for.
  double theta = 0.99;                 // zipf. YCSB's default skew (Cooper et al. 2010).
  PageCount window;                    // phases.
  std::uint64_t phase_operations = 0;  // phases.
};

// Contents for pages.
struct ImageConfig {
  std::string file;
  std::string name;  // May be empty if the file holds one image.
  PageCount from;    // The page of the image that a program's first page begins with.
  TakeAs as = TakeAs::kWhatItIs;
};

// An image that the host keeps once for all machines whose programs begin with it.
struct TemplateConfig {
  std::string name;
  unsigned disk = 0;  // Of the host.
  ImageConfig image;
  std::string where;  // "scenarios/clones.toml:20", for messages about it.
};

// A program that touches every page of an image once, in order.
struct ImageProgramConfig {
  ImageConfig image;
  std::optional<std::size_t> from_template;  // By position; its image. None: the pages are the program's own.
  std::uint64_t references = 1000;           // Raw references that the touch of a page stands for.
  std::optional<GeneratorConfig> then;       // Follows, over the image's pages; its memory is not set.
};

// A file that a program maps in front of its own memory.
struct FileViewConfig {
  enum class Kind : std::uint8_t {
    kShared,  // All views show a store, and the file gets it.
    kCopy,    // The first store to a page makes a private copy of it.
    kDirect,  // The same of a file of the host, in whose frames the guest reads it. For templates alone.
  } kind = Kind::kShared;
  std::string file;
  unsigned disk = 0;
  PageCount pages;  // Whole pages of the file; the bytes after the last of them are not mapped.
};

// A program whose memory follows a curve (demand_program.h). No monitoring tells how often, how unevenly and for what
// active pages are touched.
struct DemandConfig {
  DemandCurve curve;
  std::string file;                 // Where the curve is from; empty: the scenario.
  Duration period = 60_s;           // vSphere's, of its "active".
  double intensity = 4;             // A choice: a trace has one period of its own, all of it busy.
  double writes = 0.44;             // The median of the shipped traces (demand_program_test.cpp).
  double theta = 0.8;               // Of the shipped traces (demand_program_test.cpp).
  std::uint64_t references = 1000;  // Raw references that one touch stands for.
};

using ProgramConfig = std::variant<TraceConfig, GeneratorConfig, ImageProgramConfig, DemandConfig>;

}  // namespace pagoda::sim
