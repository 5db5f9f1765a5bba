package source

import (
	"io/fs"
	"syscall"
)

// inode tells a file from its successor of the same size and second.
func inode(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}
