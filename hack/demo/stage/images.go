package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Image is what goes into one image. Its tag will be its digest, so that a pod that names it runs these bytes and no others.
type Image struct {
	Name string
	// Args are hack/image's.
	Args []string
}

// Sallyport is the product's own image.
func Sallyport() Image { return Image{Name: "sallyport.dev/sallyport"} }

// Nginx is Debian's nginx. Its configuration is mounted at /etc/nginx/sallyport.
func Nginx() Image {
	return Image{Name: "sallyport.dev/demo-nginx", Args: []string{
		"-with-libs", "-entrypoint", "/usr/sbin/nginx -p /tmp -e stderr -c /etc/nginx/sallyport/nginx.conf", "/usr/sbin/nginx"}}
}

// Pods is the identity provider and the application of the demonstration, compiled from hack/demo/pod into binary.
func Pods(binary string) Image {
	return Image{Name: "sallyport.dev/demo-pod", Args: []string{"-entrypoint", "/pod", binary + "=/pod"}}
}

// BuildPods compiles the program of Pods.
func (s *Stage) BuildPods(ctx context.Context) (binary string, err error) {
	binary = filepath.Join(s.Work, "pod")
	_, err = s.Run(ctx, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./hack/demo/pod")
	return binary, err
}

// Build writes the image to a file and returns its reference. Equal content gives an equal reference.
func (s *Stage) Build(ctx context.Context, image Image) (ref, archive string, err error) {
	raw := filepath.Join(s.Work, strings.ReplaceAll(image.Name, "/", "_")+".tar")
	if len(image.Args) == 0 {
		// The product's image has its own make target, with the version that goes into the programs.
		_, err = s.Make(ctx, "image", "IMAGE_TAR="+raw, "IMG="+image.Name+":build")
	} else {
		_, err = s.Run(ctx, "go", append([]string{"run", "./hack/image", "-o", raw, "-ref", image.Name + ":build"}, image.Args...)...)
	}
	if err != nil {
		return "", "", err
	}
	built, err := tarball.ImageFromPath(raw, nil)
	if err != nil {
		return "", "", err
	}
	digest, err := built.Digest()
	if err != nil {
		return "", "", err
	}
	tag, err := name.NewTag(image.Name + ":" + digest.Hex[:16])
	if err != nil {
		return "", "", err
	}
	archive = strings.TrimSuffix(raw, ".tar") + ".tagged.tar"
	if err := tarball.WriteToFile(archive, tag, built); err != nil {
		return "", "", err
	}
	return tag.String(), archive, os.Remove(raw)
}

// Ship builds the images and loads those that the node does not have yet. It returns their references in order, and how many were new.
func (s *Stage) Ship(ctx context.Context, images ...Image) (refs []string, loaded int, err error) {
	var fresh []string
	for _, image := range images {
		ref, archive, err := s.Build(ctx, image)
		if err != nil {
			return nil, 0, err
		}
		refs = append(refs, ref)
		if has, err := s.nodeHas(ctx, ref); err != nil {
			return nil, 0, err
		} else if !has {
			fresh = append(fresh, archive)
		}
	}
	if len(fresh) == 0 {
		return refs, 0, nil
	}
	if _, err := s.Run(ctx, filepath.Join(s.Root, ".cluster", "bin", "cluster"), append([]string{"load"}, fresh...)...); err != nil {
		return nil, 0, fmt.Errorf("loading images: %w", err)
	}
	return refs, len(fresh), nil
}

// nodeHas asks the node. It may not know yet what came in the last minute: then the image is loaded once more, which does no harm.
func (s *Stage) nodeHas(ctx context.Context, ref string) (bool, error) {
	names, err := s.Kubectl(ctx, "get", "nodes", "-o", "jsonpath={.items[*].status.images[*].names[*]}")
	if err != nil {
		return false, err
	}
	for _, known := range strings.Fields(names) {
		if known == ref {
			return true, nil
		}
	}
	return false, nil
}
