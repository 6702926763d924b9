// What a Go program needs of Windows, and Wine 8 lacks. Go programs load
// bcryptprimitives.dll when they start, before anything else happens:
//
//   - Wine 8 has no such DLL. Go needs its ProcessPrng.
//   - Wine 8 answers STATUS_NOT_IMPLEMENTED ("Invalid function") to the newer
//     forms of delete, rename and link, which Go's os.RemoveAll and os.Root use.
//     Go falls back to the older forms only if told that a form is unknown or
//     not supported. So this DLL passes those calls on in their older form.
//
// Only tests under Wine use this file; see .ci/windows.
#include <windows.h>
#include <winternl.h>
#include <ntsecapi.h>
#include <string.h>

BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) { return RtlGenRandom(p, (ULONG)n); }

typedef NTSTATUS(NTAPI *setter)(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG, ULONG);

static setter original;

// The classes of NtSetInformationFile by their documented numbers: each newer
// one differs from the older in that its first field holds flags (32 bits)
// where the older has a BOOLEAN. The lowest flag has that BOOLEAN's meaning.
enum { rename_ = 10, link_ = 11, disposition = 13, dispositionEx = 64, renameEx = 65, linkEx = 72 };

static NTSTATUS NTAPI set(HANDLE h, PIO_STATUS_BLOCK io, PVOID p, ULONG n, ULONG class) {
	unsigned char copy[2048];
	ULONG older = class == dispositionEx ? disposition : class == renameEx ? rename_ : class == linkEx ? link_ : 0;
	if (!older || n < 4 || n > sizeof copy) return original(h, io, p, n, class);
	memcpy(copy, p, n);
	ULONG flags = *(ULONG *)copy;
	memset(copy, 0, 4);
	copy[0] = flags & 1;
	return original(h, io, copy, older == disposition ? 1 : n, older);
}

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, LPVOID reserved) {
	(void)self; (void)reserved;
	if (reason != DLL_PROCESS_ATTACH) return TRUE;
	// The stub of a system call refers to nothing by relative address outside of
	// itself, so a copy of it works, and the stub can become a jump to set.
	unsigned char *stub = (unsigned char *)GetProcAddress(GetModuleHandleA("ntdll"), "NtSetInformationFile");
	static const unsigned char begins[] = {0x4c, 0x8b, 0xd1, 0xb8}; // mov r10,rcx; mov eax,…
	if (!stub || memcmp(stub, begins, sizeof begins)) return TRUE;
	unsigned char *copy = VirtualAlloc(0, 64, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
	DWORD was;
	if (!copy || !VirtualProtect(stub, 16, PAGE_EXECUTE_READWRITE, &was)) return TRUE;
	memcpy(copy, stub, 32);
	original = (setter)copy;
	unsigned char jump[12] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0}; // mov rax,set; jmp rax
	setter to = set;
	memcpy(jump + 2, &to, 8);
	memcpy(stub, jump, sizeof jump);
	VirtualProtect(stub, 16, was, &was);
	return TRUE;
}
