// The program `pagoda`.
#include "pagoda/cli/program.h"

int main(int argc, char** argv) { return pagoda::cli::run_program(argc, argv); }
