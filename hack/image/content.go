package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// file is one entry of the layer. A folder has neither source nor text nor link.
type file struct {
	source string // copied from here
	text   string
	link   string // symbolic link to this
	mode   fs.FileMode
}

func (f file) isDir() bool { return f.mode.IsDir() }

// content is what is in the image, by absolute path.
type content map[string]file

// caBundle lets programs verify public certificates; the one of the building machine is taken.
const caBundle = "/etc/ssl/certs/ca-certificates.crt"

// addBase adds what every program may expect of its surroundings.
func (c content) addBase() error {
	if _, err := os.Stat(caBundle); err != nil {
		return fmt.Errorf("no CA certificates on this machine, on Debian: apt-get install ca-certificates (%w)", err)
	}
	c.put(caBundle, file{source: caBundle, mode: 0o644})
	c.put("/etc/passwd", file{text: "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n", mode: 0o644})
	c.put("/etc/group", file{text: "root:x:0:\nnonroot:x:65532:\n", mode: 0o644})
	c.put("/etc/nsswitch.conf", file{text: "hosts: files dns\n", mode: 0o644})
	c.put("/tmp", file{mode: fs.ModeDir | fs.ModeSticky | 0o777})
	return nil
}

// put sets an entry and makes its parents.
func (c content) put(path string, f file) {
	path = filepath.Clean(path)
	c[path] = f
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		if _, found := c[dir]; !found {
			c[dir] = file{mode: fs.ModeDir | 0o755}
		}
	}
}

// add copies a file or a folder. What a symbolic link in it points to outside comes along, at its own
// path: Debian spreads one application over /usr/share, /etc and /var.
func (c content) add(from, to string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(real, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(real, path)
		if err != nil {
			return err
		}
		inside := filepath.Join(to, rel)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			if old, found := c[inside]; !found || !old.isDir() {
				c.put(inside, file{mode: fs.ModeDir | 0o755})
			}
		case info.Mode()&fs.ModeSymlink != 0:
			return c.addLink(path, inside, real, to)
		case info.Mode().IsRegular():
			c.put(inside, file{source: path, mode: readable(info.Mode())})
		}
		return nil // sockets, pipes and devices have no place in an image
	})
}

// addLink adds the symbolic link at path, which lies in the folder tree that is copied to treeInside.
func (c content) addLink(path, inside, tree, treeInside string) error {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err := os.Readlink(path)
		c.put(inside, file{link: text, mode: fs.ModeSymlink | 0o777})
		return err
	}
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(tree, target); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		c.put(inside, file{link: filepath.Join(treeInside, rel), mode: fs.ModeSymlink | 0o777})
		return nil
	}
	c.put(inside, file{link: target, mode: fs.ModeSymlink | 0o777})
	if _, found := c[target]; found {
		return nil // been there: links may go in circles
	}
	return c.add(target, target)
}

// readable gives everybody what the owner on this machine had: the image's user is somebody else.
func readable(mode fs.FileMode) fs.FileMode {
	if mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}
