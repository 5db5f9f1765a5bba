package docs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// overlay builds a folder of config/ with more in its kustomization.yaml.
func overlay(folder, more string) (string, error) {
	copied, err := os.MkdirTemp(world.dir, "overlay")
	if err != nil {
		return "", err
	}
	if _, err := said(exec.Command("cp", "-r", filepath.Join(root, "config"), copied)); err != nil {
		return "", err
	}
	file, err := os.OpenFile(filepath.Join(copied, folder, "kustomization.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(more)
	if err := errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	return (&script{dir: copied}).kubectl("", "kustomize", folder)
}

// setImage does what `kustomize edit set image NAME=IMAGE:TAG` does, and looks at what is installed then.
func (s *script) setImage(setting string) error {
	name, image, _ := strings.Cut(setting, "=")
	repository, tag, _ := strings.Cut(image, ":")
	folder, err := filepath.Rel(world.dir, s.dir)
	if err != nil {
		return err
	}
	out, err := overlay(folder, "images: [{name: "+name+", newName: "+repository+", newTag: "+tag+"}]\n")
	if err != nil {
		return err
	}
	// The operator's own, and the one that service providers run.
	if n := strings.Count(out, image); n != 2 {
		return fmt.Errorf("%s is %d of the two images", image, n)
	}
	return nil
}

// changesTheInstallation adds a part of a kustomization.yaml to config/default, as the guides say. It has to change something.
func changesTheInstallation(part string) error {
	before, err := overlay("config/default", "")
	if err != nil {
		return err
	}
	after, err := overlay("config/default", part)
	if err == nil && after == before {
		err = errors.New("it changes nothing of config/default")
	}
	return err
}
