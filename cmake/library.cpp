// The one source of libpagoda.a that belongs to no floor: it lets `strings` tell which Pagoda a program was linked
// with.
#include "pagoda/base/version.h"

namespace pagoda {

extern const char kLibraryIdentification[];
const char kLibraryIdentification[] = "@(#) pagoda " PAGODA_VERSION;

}  // namespace pagoda
