package errno

import "syscall"

// others has the errors of Windows that mean the same as one of POSIX.
var others = map[syscall.Errno][]syscall.Errno{
	syscall.ECONNREFUSED:  {10061, 1225},      // WSAECONNREFUSED, ERROR_CONNECTION_REFUSED
	syscall.ECONNRESET:    {10054, 10053, 64}, // WSAECONNRESET, WSAECONNABORTED, ERROR_NETNAME_DELETED
	syscall.EADDRINUSE:    {10048},            // WSAEADDRINUSE
	syscall.EADDRNOTAVAIL: {10049},            // WSAEADDRNOTAVAIL
	syscall.EACCES:        {10013, 5},         // WSAEACCES, ERROR_ACCESS_DENIED
	syscall.ENOSPC:        {112, 39},          // ERROR_DISK_FULL, ERROR_HANDLE_DISK_FULL
	syscall.EPIPE:         {232, 109},         // ERROR_NO_DATA, ERROR_BROKEN_PIPE
	syscall.ENAMETOOLONG:  {206, 123},         // ERROR_FILENAME_EXCED_RANGE, ERROR_INVALID_NAME
	syscall.ENOTDIR:       {267},              // ERROR_DIRECTORY
}
