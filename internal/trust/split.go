package trust

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Limits of the splitter, in bytes unless said otherwise.
const (
	maxTagBytes = 64 << 10
	readBuffer  = 16 << 10
	// maxNesting is how many EntitiesDescriptor elements may lie in one another.
	maxNesting = 8
)

// parts receives a document piece by piece, in document order. Byte slices are only valid during the call.
type parts interface {
	// declaration is the XML declaration, when there is one.
	declaration(raw []byte) error
	// open is the start tag of an EntitiesDescriptor, the root or inside another; a self-closing one has its slash removed.
	open(tag []byte) error
	// element is any other element that is the root or a direct child of an EntitiesDescriptor.
	element(raw []byte) error
	// space is white space between those, with line ends normalized (XML 1.0, 2.11).
	space(s []byte) error
	// close is the end tag of the innermost open EntitiesDescriptor.
	close(tag []byte) error
}

// splitter cuts an aggregate of any size into its entities without reading more than one of them into memory. It finds where
// elements begin and end and nothing more: every piece that is used goes through xmldoc, which must agree that it is one element.
type splitter struct {
	r     *bufio.Reader
	to    parts
	share *share
	buf   []byte
	depth int // of open EntitiesDescriptor elements
	root  bool
	// carriage is true when the last white space ended in CR, whose LF may follow in the next chunk.
	carriage bool
}

func split(r io.Reader, maxBytes int64, memory *share, to parts) error {
	s := &splitter{r: bufio.NewReaderSize(&limitedReader{r: r, left: maxBytes, max: maxBytes}, readBuffer), to: to, share: memory}
	defer memory.shrink()
	if err := s.prolog(); err != nil {
		return s.failure(err)
	}
	for {
		done, err := s.next()
		if err != nil {
			return s.failure(err)
		}
		if done {
			return nil
		}
	}
}

// failure gives every error the type *Error.
func (s *splitter) failure(err error) error {
	if typed, ok := errors.AsType[*Error](err); ok {
		return typed
	}
	if errors.Is(err, io.EOF) {
		return errTruncated
	}
	return fail(KindConnection, "The metadata could not be read to its end.")
}

// prolog reads a byte order mark and the XML declaration.
func (s *splitter) prolog() error {
	if mark, _ := s.r.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = s.r.Discard(3)
	}
	head, err := s.r.Peek(6)
	if len(head) == 0 {
		if errors.Is(err, io.EOF) {
			return fail(KindNotXML, "There is no metadata: what came is empty.")
		}
		return err
	}
	if head[0] == 0xfe || head[0] == 0xff || head[0] == 0 || len(head) > 1 && head[1] == 0 {
		return fail(KindNotXML, "The metadata is not in UTF-8, the one encoding that is read.")
	}
	if !bytes.HasPrefix(head, []byte("<?xml")) || len(head) < 6 || !isSpace(head[5]) {
		return nil
	}
	s.buf = s.buf[:0]
	if err := s.until('>', 256); err != nil {
		return err
	}
	return s.to.declaration(s.buf)
}

// next reads one piece: text, a comment, a tag of an EntitiesDescriptor or a whole element. It returns true at the end of the document.
func (s *splitter) next() (bool, error) {
	c, err := s.r.ReadByte()
	if errors.Is(err, io.EOF) && s.root && s.depth == 0 {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if c != '<' {
		_ = s.r.UnreadByte()
		return false, s.text()
	}
	s.carriage = false
	s.buf = append(s.buf[:0], '<')
	c, err = s.r.ReadByte()
	if err != nil {
		return false, err
	}
	_ = s.r.UnreadByte()
	switch c {
	case '!':
		return false, s.comment()
	case '?':
		return false, errInstruction()
	case '/':
		if err := s.until('>', maxTagBytes); err != nil {
			return false, err
		}
		if s.depth == 0 {
			return false, fail(KindNotXML, "The metadata is not well-formed XML: an end tag without its start.")
		}
		s.depth--
		return false, s.to.close(s.buf)
	}
	return false, s.start()
}

// start reads an element, or the start tag of an EntitiesDescriptor.
func (s *splitter) start() error {
	if s.depth == 0 && s.root {
		return fail(KindNotXML, "The metadata is not well-formed XML: there is something after the root element.")
	}
	empty, err := s.tag(maxTagBytes)
	if err != nil {
		return err
	}
	if !s.root {
		if err := checkRoot(localName(s.buf)); err != nil {
			return err
		}
	}
	s.root = true
	if localName(s.buf) != "EntitiesDescriptor" {
		if !empty {
			if err := s.rest(); err != nil {
				return err
			}
		}
		return s.whole()
	}
	if s.depth == maxNesting {
		return fail(KindTooLarge, "The metadata nests more than %d EntitiesDescriptor elements.", maxNesting)
	}
	if empty {
		s.buf = append(s.buf[:len(s.buf)-2], '>')
	}
	if err := s.to.open(s.buf); err != nil {
		return err
	}
	if empty {
		return s.to.close(endTag(s.buf))
	}
	s.depth++
	return nil
}

// whole hands on the element in s.buf.
func (s *splitter) whole() error {
	release, err := s.share.parse()
	if err != nil {
		return err
	}
	defer release()
	if err := s.to.element(s.buf); err != nil {
		return err
	}
	if cap(s.buf) > freeBytes {
		s.buf = nil
	}
	s.share.shrink()
	return nil
}

// text reads white space between elements in chunks; anything else has no place there.
func (s *splitter) text() error {
	_, _ = s.r.Peek(1)
	chunk, err := s.r.Peek(s.r.Buffered())
	if err != nil {
		return err
	}
	if end := bytes.IndexByte(chunk, '<'); end >= 0 {
		chunk = chunk[:end]
	}
	s.buf = s.buf[:0]
	for _, c := range chunk {
		switch {
		case !isSpace(c) && !s.root:
			return fail(KindNotXML, "What came is not XML: it does not start with an element. Open the URL in a browser that is not signed in to see what is there.")
		case !isSpace(c):
			return fail(KindNotXML, "The metadata is not well-formed XML: text stands between elements.")
		case c == '\r':
			s.buf = append(s.buf, '\n')
		case c != '\n' || !s.carriage:
			s.buf = append(s.buf, c)
		}
		s.carriage = c == '\r'
	}
	_, _ = s.r.Discard(len(chunk))
	if s.depth == 0 {
		return nil
	}
	return s.to.space(s.buf)
}

// rest reads the content of an element up to and with its end tag; s.buf has its start tag.
func (s *splitter) rest() error {
	for depth := 1; depth > 0; {
		if err := s.until('<', MaxEntityBytes); err != nil {
			return err
		}
		c, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		_ = s.r.UnreadByte()
		switch c {
		case '/':
			if err := s.until('>', MaxEntityBytes); err != nil {
				return err
			}
			depth--
		case '?':
			return errInstruction()
		case '!':
			if err := s.marked(); err != nil {
				return err
			}
		default:
			empty, err := s.tag(MaxEntityBytes)
			if err != nil {
				return err
			}
			if !empty {
				depth++
			}
		}
	}
	return nil
}

// marked reads a comment or a CDATA section in an element; s.buf ends in its "<".
func (s *splitter) marked() error {
	next, _ := s.r.Peek(len("![CDATA["))
	begin, end := "!--", "-->"
	if bytes.Equal(next, []byte("![CDATA[")) {
		begin, end = "![CDATA[", "]]>"
	}
	if !bytes.HasPrefix(next, []byte(begin)) {
		return s.declarationError(next)
	}
	for start := len(s.buf); ; {
		if err := s.until('>', MaxEntityBytes); err != nil {
			return err
		}
		// The shortest one has nothing between its ends: "<!-->" is not one.
		if len(s.buf)-start >= len(begin)+len(end) && bytes.HasSuffix(s.buf, []byte(end)) {
			return nil
		}
	}
}

// comment skips a comment between elements, in constant memory; a document type declaration is refused.
func (s *splitter) comment() error {
	open, err := s.r.Peek(3)
	if err != nil {
		return err
	}
	if !bytes.Equal(open, []byte("!--")) {
		open, _ = s.r.Peek(len("!DOCTYPE html"))
		return s.declarationError(open)
	}
	_, _ = s.r.Discard(3)
	dashes := 0
	for {
		c, err := s.r.ReadByte()
		switch {
		case err != nil:
			return err
		case c == '>' && dashes >= 2:
			return nil
		case c == '-':
			dashes++
		default:
			dashes = 0
		}
	}
}

// tag reads a start tag up to its ">", which is not one inside quotes; it tells whether the tag closes itself. s.buf ends in the tag's "<".
func (s *splitter) tag(most int) (empty bool, err error) {
	var quote byte
	start := len(s.buf)
	for {
		from := len(s.buf)
		if err := s.until('>', most); err != nil {
			return false, err
		}
		if len(s.buf)-start > maxTagBytes {
			return false, fail(KindTooLarge, "The metadata has a tag of more than %d bytes.", maxTagBytes)
		}
		for _, c := range s.buf[from:] {
			switch {
			case quote == c:
				quote = 0
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			}
		}
		if quote == 0 {
			return s.buf[len(s.buf)-2] == '/', nil
		}
	}
}

// until appends to s.buf what comes, up to and with the delimiter.
func (s *splitter) until(delimiter byte, most int) error {
	for {
		chunk, err := s.r.ReadSlice(delimiter)
		if len(s.buf)+len(chunk) > most {
			if !s.root {
				return fail(KindNotXML, "What came is not XML. Open the URL in a browser that is not signed in to see what is there.")
			}
			return fail(KindTooLarge, "One element of the metadata is larger than %d bytes.", most)
		}
		if err := s.share.grow(len(s.buf) + len(chunk)); err != nil {
			return err
		}
		s.buf = append(s.buf, chunk...)
		if err == nil {
			return nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// localName is the name in a tag, without its prefix.
func localName(tag []byte) string {
	name := qualifiedName(tag)
	if _, local, ok := bytes.Cut(name, []byte(":")); ok {
		return string(local)
	}
	return string(name)
}

func qualifiedName(tag []byte) []byte {
	name := tag[1:]
	if end := bytes.IndexAny(name, " \t\r\n/>"); end >= 0 {
		name = name[:end]
	}
	return name
}

func endTag(tag []byte) []byte {
	return append(append([]byte("</"), qualifiedName(tag)...), '>')
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
