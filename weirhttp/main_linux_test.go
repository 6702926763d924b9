package weirhttp

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// runAll runs the tests, and looks for what those that ran at the same time have left. They
// mostly wait, so there can be more of them than processors.
func runAll(m *testing.M) (code int) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set("4")
	}
	if code = m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Println("after all tests:", err)
		return 1
	}
	before := openThen
	openBefore.Do(func() { before = openFiles() }) // none of them ran
	for end := time.Now().Add(5 * time.Second); openFiles() > before; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			fmt.Printf("after all tests %d descriptors are open, and %d were before:\n", openFiles(), before)
			open, _ := os.ReadDir("/proc/self/fd")
			for _, e := range open {
				to, _ := os.Readlink("/proc/self/fd/" + e.Name())
				fmt.Println(e.Name(), to)
			}
			return 1
		}
	}
	return 0
}
