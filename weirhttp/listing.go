package weirhttp

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/internal/chars"
	"github.com/weir-go/weir/weirhttp/internal/dirents"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/natural"
)

const (
	mostListed   = 100_000                  // most names that a listing can reach: they are sorted in memory
	mostOnPage   = 5_000                    // most names on a page
	pageLength   = 500                      // names on a page unless the client asks for another number
	listedBatch  = 1000                     // names read at once
	listedCost   = 128 << 10                // bytes of memory that are taken at once, for a batch of short names
	listedLeast  = listedCost / listedBatch // bytes for an entry with a short name, including sorting and net/http
	listedFirst  = 4                        // batches after which an answer in JSON begins
	describedRun = 64                       // files that a goroutine looks at before it takes others
	longestWords = 200                      // bytes of a filter that count
)

// Entry is a file or folder in a listing.
type Entry struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"` // bytes; 0 for folders
	Modified time.Time `json:"modified"`
	Folder   bool      `json:"folder"`

	// Href is a link to the entry, relative to the URL of its folder. Name is not enough
	// for a link if it has bytes that are not UTF-8: JSON cannot express them.
	Href string `json:"href"`
}

// Label returns the name for display. Characters in it that are invisible, or that display
// others in another order, are replaced by their codes.
func (e Entry) Label() string { return chars.Visible(e.Name) }

// Selection says which entries of a folder a listing has, and in which order. Clients
// choose it with the query of the URL: sort, order (asc or desc), q, page and limit.
type Selection struct {
	Sort   string // "name", "size" or "time"
	Desc   bool   // the largest or newest first; folders come before files anyway
	Filter string // words that a name must contain, without regard to case
	Page   int    // counts from 1
	Limit  int    // entries on a page

	usual int // Limit if the client does not choose one
}

// Link returns a link to the listing from the page of the folder.
func (s Selection) Link() string {
	q := url.Values{}
	if s.Sort != "name" {
		q.Set("sort", s.Sort)
	}
	if s.Desc {
		q.Set("order", "desc")
	}
	if s.Filter != "" {
		q.Set("q", s.Filter)
	}
	if s.Page > 1 {
		q.Set("page", strconv.Itoa(s.Page))
	}
	if s.Limit != s.usual {
		q.Set("limit", strconv.Itoa(s.Limit))
	}
	if len(q) == 0 {
		return "./"
	}
	return "./?" + q.Encode()
}

// By returns the selection with another order, as the head of a column of that name links
// to it: the other direction if the listing has that order already, and otherwise names
// from the beginning, sizes and times from the end.
func (s Selection) By(column string) Selection {
	s.Desc = column != "name"
	if column == s.Sort {
		s.Desc = !s.Desc
	}
	s.Sort, s.Page = column, 1
	return s
}

// At returns the selection of another page.
func (s Selection) At(page int) Selection {
	s.Page = page
	return s
}

// selectionOf returns the selection of a request. limit is the usual length of a page.
func selectionOf(q url.Values, limit int) (Selection, error) {
	s := Selection{Sort: cmp.Or(q.Get("sort"), "name"), Filter: strings.TrimSpace(q.Get("q")), Page: 1, Limit: limit, usual: limit}
	if s.Sort != "name" && s.Sort != "size" && s.Sort != "time" {
		return s, errors.New("sort must be name, size or time")
	}
	switch q.Get("order") {
	case "", "asc":
	case "desc":
		s.Desc = true
	default:
		return s, errors.New("order must be asc or desc")
	}
	for name, n := range map[string]*int{"page": &s.Page, "limit": &s.Limit} {
		if text := q.Get(name); text != "" {
			v, err := strconv.Atoi(text)
			if err != nil || v < 1 {
				return s, errors.New(name + " must be a positive number")
			}
			*n = v
		}
	}
	s.Limit = min(s.Limit, max(mostOnPage, limit))
	s.Page = min(s.Page, mostListed)
	if len(s.Filter) > longestWords {
		s.Filter = strings.ToValidUTF8(s.Filter[:longestWords], "")
	}
	return s, nil
}

// compare orders entries: folders first, then by the column, then by name.
func (s Selection) compare(a, b *listed) int {
	if a.folder != b.folder {
		if a.folder {
			return -1
		}
		return 1
	}
	c := 0
	switch s.Sort {
	case "size":
		c = cmp.Compare(a.size, b.size)
	case "time":
		c = cmp.Compare(a.modified, b.modified)
	default:
		c = compareNames(a, b)
	}
	if s.Desc {
		c = -c
	}
	if c == 0 {
		c = compareNames(a, b)
	}
	return c
}

func compareNames(a, b *listed) int {
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c
	}
	return strings.Compare(a.name, b.name)
}

// Listing describes a folder for its page.
type Listing struct {
	Path    string  `json:"path"`          // from the root, with a slash at both ends
	Entries []Entry `json:"entries"`       // of the page
	Total   int     `json:"total"`         // names that match the filter, on all pages
	Cut     bool    `json:"cut,omitempty"` // the folder has more names than the listing can reach
	// LeftOut is how many names the listing does not have because clients cannot get
	// them: names with control characters, links that lead to no served file, pipes and
	// devices. Names that are hidden on purpose do not count.
	LeftOut int `json:"leftOut,omitempty"`

	Archive bool    `json:"-"` // the folder can be downloaded as an archive
	Readme  *Readme `json:"-"` // on the first page; nil: none
	Err     error   `json:"-"` // the listing is not complete; only after Top of FileServer was called

	Selection Selection `json:"-"`
}

// Readme is a file that explains a folder.
type Readme struct {
	Name string
	Text string // for display as it is; characters are replaced as in the Label of an Entry
	Cut  bool   // the file is longer
}

// Pages returns the number of pages.
func (l Listing) Pages() int {
	return max(1, (min(l.Total, mostListed)+l.Selection.Limit-1)/l.Selection.Limit)
}

// First returns the number of the first entry of the page, counted from 1.
func (l Listing) First() int { return (l.Selection.Page-1)*l.Selection.Limit + 1 }

// Last returns the number of the last entry of the page.
func (l Listing) Last() int { return l.First() + len(l.Entries) - 1 }

// Around returns the pages to link to: the first, the last, and those around the page. A 0
// stands for others between two.
func (l Listing) Around() (pages []int) {
	last, at := l.Pages(), l.Selection.Page
	for n := 1; n <= last; n++ {
		switch {
		case n == 1 || n == last || n >= at-2 && n <= at+2:
			pages = append(pages, n)
		case n == at-3 || n == at+3:
			pages = append(pages, 0)
		}
	}
	return pages
}

// lister reads a folder. However many names the folder has, it keeps only those of the
// page and of the pages before it.
type lister struct {
	v       view
	r       *http.Request
	dir     io.Closer
	entries interface { // of dir
		Read(n int) ([]fs.DirEntry, error)
	}
	store FileStore // of the folder; nil: it is on a disk
	name  string
	words []string // of the filter, in lower case
	early bool     // describe each file at once: the order or the length needs it
	keep  int      // entries that can be of the page, or before it
	slack int      // entries beyond those that list can have
	held  reserved // memory
	paid  int64    // bytes of it, a multiple of listedCost
	costs int64    // bytes that list takes
	done  bool     // all names were read

	batch  []listed // what step has read, for the next step
	key    []byte   // for the next entry
	list   []*listed
	page   []*listed // of list: the entries of the page, after read
	bound  *listed   // an entry after this one is not of the page; nil: not known yet
	readme string    // name of the README so far
	rank   int       // of readme; 0: none

	Listing
}

// listed is an entry in a lister.
type listed struct {
	name     string
	key      []byte      // of name, for the order
	d        fs.DirEntry // to be described; nil: it is
	size     int64
	modified int64 // seconds since 1970
	folder   bool
	gone     bool // clients cannot get it
	leftOut  bool // it is gone, and somebody may miss it
}

// openLister opens a folder, and reads the first batch of its names, but none for HEAD. The
// caller must call close.
func openLister(v view, r *http.Request, name string, s Selection) (*lister, error) {
	dir, err := v.openAny(name)
	if err != nil {
		return nil, err
	}
	return begun(&lister{v: v, r: r, dir: dir, entries: dirents.New(dir), name: name}, s)
}

// openStoredLister is openLister for a folder in a store.
func openStoredLister(v view, store FileStore, r *http.Request, name string, s Selection) (*lister, error) {
	entries := readStored(r.Context(), store, name)
	return begun(&lister{v: v, r: r, dir: entries, entries: entries, store: store, name: name}, s)
}

// begun reads the first batch of names. After an error the folder is closed.
func begun(l *lister, s Selection) (*lister, error) {
	r, name := l.r, l.name
	l.words = strings.Fields(strings.ToLower(s.Filter))
	l.Selection, l.Path = s, "/"
	if name != "." {
		l.Path += strings.ReplaceAll(name, `\`, "/") + "/"
	}
	l.Entries = []Entry{}                              // an empty folder is an empty list in JSON
	l.early = s.Sort != "name" || s.Limit > mostOnPage // soon, a file is in the caches of the processor
	l.keep = mostListed
	if s.Page <= mostListed/s.Limit { // otherwise the product can be too large for an int
		l.keep = s.Page * s.Limit
	}
	l.slack = max(listedBatch, l.keep/4) // of a long list, many are sorted at once
	l.done = r.Method == http.MethodHead
	if err := l.step(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lister) close() {
	l.held.release()
	l.dir.Close()
}

// hasRoom reports whether the memory for the longest list of short names is free now. It
// takes none: a client could hold it by not reading the beginning of the answer.
func (l *lister) hasRoom() bool {
	g := guardOf(l.r)
	if g == nil || g.Budget == nil {
		return true
	}
	return g.Budget.Total()-g.Budget.Used() >= int64(l.keep+l.slack)*listedLeast-l.paid
}

// finish reads the other names and sets the fields of the Listing.
func (l *lister) finish() error {
	if err := l.read(); err != nil {
		return err
	}
	l.describe(l.page)
	for _, c := range l.page {
		if l.counts(c) {
			l.Entries = append(l.Entries, c.entry())
		}
	}
	return nil
}

// read reads the other names and sets page. It sets all fields of the Listing but Entries.
func (l *lister) read() error {
	for !l.done {
		if l.r.Context().Err() != nil {
			return l.r.Context().Err()
		}
		if err := l.step(); err != nil {
			return err
		}
	}
	l.trim()
	s := &l.Selection
	s.Page = min(s.Page, l.Pages())
	l.Cut = l.Total > mostListed
	from := min((s.Page-1)*s.Limit, len(l.list))
	l.page = l.list[from:min(from+s.Limit, len(l.list))]
	return nil
}

// step reads a batch of names.
func (l *lister) step() error {
	if l.done {
		return nil
	}
	batch, err := l.entries.Read(listedBatch)
	l.batch = slices.Grow(l.batch[:0], len(batch))
	now := make([]*listed, 0, len(batch)) // to be described at once
	for _, d := range batch {
		if !l.wants(d) {
			continue
		}
		l.batch = append(l.batch, listed{name: d.Name(), d: d, folder: d.IsDir()})
		if l.early || !names.Printable(d.Name()) || !d.IsDir() && !d.Type().IsRegular() {
			now = append(now, &l.batch[len(l.batch)-1])
		}
	}
	l.describe(now)
	for i := range l.batch {
		c := &l.batch[i]
		l.Total++
		if l.counts(c) {
			if aerr := l.add(c); aerr != nil {
				return aerr
			}
		}
	}
	if err == io.EOF || err == nil && len(batch) < listedBatch {
		l.done, err = true, nil
	}
	return err
}

// wants reports whether d belongs to the listing if clients can get it.
func (l *lister) wants(d fs.DirEntry) bool {
	name := d.Name()
	if names.Withheld(name, l.v.hidden) {
		return false
	}
	if rank := readmeRank(name); rank > l.rank && d.Type().IsRegular() {
		l.readme, l.rank = name, rank
	}
	return l.matches(name)
}

// describing is how many goroutines help listings to describe files, in all servers of the
// process.
var describing atomic.Int64

// describe describes the entries of list that are not described. Asking for each file takes
// most of the time of a listing. Other goroutines help with long lists, but never more than
// there are processors, however many clients ask for listings.
func (l *lister) describe(list []*listed) {
	var next atomic.Int64
	work := func() {
		for {
			to := int(next.Add(describedRun))
			if to-describedRun >= len(list) {
				return
			}
			for _, c := range list[to-describedRun : min(to, len(list))] {
				c.describe(l.v, l.name)
			}
		}
	}
	var helpers sync.WaitGroup
	defer helpers.Wait()
	for n := describedRun; n < len(list) && l.store == nil; n += describedRun {
		if describing.Add(1) >= int64(runtime.GOMAXPROCS(0)) { // this goroutine needs one too
			describing.Add(-1)
			break
		}
		helpers.Go(func() {
			defer describing.Add(-1)
			work()
		})
	}
	work()
}

// describe looks at the file, in the folder dir, unless it has done so.
func (c *listed) describe(v view, dir string) {
	if c.d == nil {
		return
	}
	info, leftOut := v.show(dir, c.d)
	c.d = nil
	if info == nil {
		c.gone, c.leftOut = true, leftOut
		return
	}
	c.folder, c.modified = info.IsDir(), min(max(info.ModTime().Unix(), earliest), latest)
	if !c.folder {
		c.size = info.Size()
	}
}

// costs returns the bytes of memory that the entry takes in a list.
func (c *listed) costs() int64 { return int64(max(listedLeast, 100+len(c.name)+len(c.key))) }

// The times that JSON can express, in seconds since 1970: the years 0 to 9999. File systems
// have others.
const (
	earliest = -62_167_219_200
	latest   = 253_402_300_799
)

// counts reports whether clients can get an entry of the total. If not, it takes the entry
// off the total.
func (l *lister) counts(c *listed) bool {
	if c.gone {
		l.Total--
	}
	if c.leftOut {
		l.LeftOut++
	}
	return !c.gone
}

func (l *lister) matches(name string) bool {
	if len(l.words) == 0 {
		return true
	}
	name = strings.ToLower(name)
	for _, w := range l.words {
		if !strings.Contains(name, w) {
			return false
		}
	}
	return true
}

// add adds a copy of c unless that is after the page.
func (l *lister) add(c *listed) error {
	l.key = natural.AppendKey(l.key[:0], c.name)
	c.key = l.key
	if l.bound != nil && l.Selection.compare(c, l.bound) > 0 {
		return nil
	}
	if len(l.list) >= l.keep+l.slack {
		l.trim()
		l.bound = l.list[l.keep-1]
	}
	if need := l.costs / listedCost * listedCost; need > l.paid {
		if err := l.held.reserve(l.r.Context(), guardOf(l.r), need-l.paid); err != nil {
			return err
		}
		l.paid = need
	}
	l.costs += c.costs()
	kept := *c
	kept.key = bytes.Clone(c.key)
	l.list = append(l.list, &kept)
	return nil
}

// trim sorts the entries, and drops those after the page.
func (l *lister) trim() {
	slices.SortFunc(l.list, l.Selection.compare)
	if len(l.list) > l.keep {
		for _, c := range l.list[l.keep:] {
			l.costs -= c.costs()
		}
		clear(l.list[l.keep:])
		l.list = l.list[:l.keep]
	}
}

// explain sets Readme.
func (l *lister) explain() {
	if l.rank == 0 || l.Selection.Page > 1 || l.Selection.Filter != "" {
		return
	}
	text, size := l.readText(path.Join(l.name, l.readme))
	if len(text) == 0 {
		return // the listing is complete without it
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		line = strings.ReplaceAll(strings.TrimSuffix(line, "\r"), "\t", "    ")
		lines[i] = chars.Visible(line)
	}
	l.Readme = &Readme{Name: chars.Visible(l.readme), Text: strings.Trim(strings.Join(lines, "\n"), "\n"), Cut: size > int64(len(text))}
}

// readText returns the beginning of a file, nothing if that fails, and the size of the file.
func (l *lister) readText(name string) (text []byte, size int64) {
	if l.store != nil {
		return storedReadme(l.r.Context(), l.store, name, longestReadme, l.v.log)
	}
	f, err := l.v.openFile(name, false)
	if err != nil {
		return nil, 0
	}
	defer f.Release()
	text = make([]byte, min(f.Size, longestReadme))
	n, err := f.ReadAt(text, 0)
	if err != nil && err != io.EOF {
		return nil, 0
	}
	return text[:n], f.Size
}

// longestReadme is how much of a README is shown, in bytes.
const longestReadme = 64 << 10

// readmeRank returns how well a name suits a README, 0 if not at all.
func readmeRank(name string) int {
	if len(name) < len("readme") || !strings.EqualFold(name[:len("readme")], "readme") {
		return 0
	}
	switch strings.ToLower(name[len("readme"):]) {
	case ".md", ".markdown":
		return 3
	case ".txt":
		return 2
	case "":
		return 1
	}
	return 0
}

// writeTop writes the beginning of the listing in JSON, which needs no names.
func (l *lister) writeTop(out *bufio.Writer) error {
	b, err := appendText(append(out.AvailableBuffer(), `{"path":`...), l.Path)
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, `,"entries":[`...))
	return err
}

// writeRest describes the entries of the page, and writes them and the end of the listing.
// The bytes are those that encoding/json would write for the Listing.
func (l *lister) writeRest(out *bufio.Writer) error {
	comma := false
	for part := range slices.Chunk(l.page, listedBatch) {
		if err := l.r.Context().Err(); err != nil {
			return err
		}
		l.describe(part)
		for _, c := range part {
			if !l.counts(c) {
				continue
			}
			b := out.AvailableBuffer()
			if comma {
				b = append(b, ',')
			}
			comma = true
			b, err := c.appendJSON(b)
			if err != nil {
				return err
			}
			if _, err := out.Write(b); err != nil {
				return err
			}
		}
	}
	b := append(out.AvailableBuffer(), `],"total":`...)
	b = strconv.AppendInt(b, int64(l.Total), 10)
	if l.Cut {
		b = append(b, `,"cut":true`...)
	}
	if l.LeftOut > 0 {
		b = strconv.AppendInt(append(b, `,"leftOut":`...), int64(l.LeftOut), 10)
	}
	_, err := out.Write(append(b, "}\n"...))
	return err
}

// entry returns the entry for pages.
func (c *listed) entry() Entry {
	return Entry{Name: c.name, Size: c.size, Modified: c.time(), Folder: c.folder, Href: string(c.appendHref(nil))}
}

func (c *listed) time() time.Time { return time.Unix(c.modified, 0).UTC() }

// appendJSON appends what encoding/json makes of the entry.
func (c *listed) appendJSON(b []byte) ([]byte, error) {
	b, err := appendText(append(b, `{"name":`...), c.name)
	if err != nil {
		return nil, err
	}
	b = strconv.AppendInt(append(b, `,"size":`...), c.size, 10)
	b = c.time().AppendFormat(append(b, `,"modified":"`...), time.RFC3339)
	b = strconv.AppendBool(append(b, `","folder":`...), c.folder)
	var space [300]byte
	b, err = appendText(append(b, `,"href":`...), c.appendHref(space[:0]))
	if err != nil {
		return nil, err
	}
	return append(b, '}'), nil
}

func (c *listed) appendHref(b []byte) []byte {
	b = names.AppendEscaped(append(b, "./"...), c.name)
	if c.folder {
		b = append(b, '/')
	}
	return b
}

// appendText appends text as a string of JSON. What has to be escaped, or could have to be,
// is left to encoding/json.
func appendText[T string | []byte](b []byte, text T) ([]byte, error) {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, err := json.Marshal(string(text))
			return append(b, quoted...), err
		}
	}
	return append(append(append(b, '"'), text...), '"'), nil
}
