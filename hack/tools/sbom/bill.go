package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

const (
	product = "sallyport"
	license = "Apache-2.0"
)

// bill is what has been found in the programs so far.
type bill struct {
	version, commit string
	created         time.Time
	programs        []program
}

// program is one executable.
type program struct {
	name, sha256 string
	// modules are what it was linked from, by name and version.
	modules []module
}

// module is a Go module at a version. Sum is its line in go.sum; the standard library has none.
type module struct{ path, version, sum string }

func (m module) String() string { return m.path + "@" + m.version }

// add reads a program. Its error says when the file holds no Go program.
func (b *bill) add(file string) error {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(content)
	p := program{name: filepath.Base(file), sha256: hex.EncodeToString(digest[:])}
	// Scanners know holes of the standard library by this name.
	toolchain, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	p.modules = append(p.modules, module{path: "stdlib", version: toolchain})
	for _, dependency := range info.Deps {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		p.modules = append(p.modules, module{dependency.Path, dependency.Version, dependency.Sum})
	}
	b.programs = append(b.programs, p)
	return nil
}

// document is the bill in SPDX 2.3: one package for each program, which the document describes, and one for each module, on which programs depend.
func (b *bill) document() *spdx.Document {
	d := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: product + "-" + b.version,
		CreationInfo: &spdx.CreationInfo{Created: b.created.Format(time.RFC3339), Creators: []common.Creator{{CreatorType: "Tool", Creator: product + "-sbom"}}},
	}
	all := sha256.New()
	modules := map[string]module{}
	for _, p := range b.programs {
		fmt.Fprintln(all, p.name, p.sha256)
		own := identifier("Program", p.name)
		d.Packages = append(d.Packages, b.programPackage(p, own))
		d.Relationships = append(d.Relationships, relation("DOCUMENT", "DESCRIBES", own))
		for _, m := range p.modules {
			modules[m.String()] = m
			d.Relationships = append(d.Relationships, relation(own, "DEPENDS_ON", identifier("Module", m.String())))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		d.Packages = append(d.Packages, modules[name].asPackage())
	}
	// SPDX 2.3, 6.5: a namespace names one document for ever. Other bytes are another document.
	d.DocumentNamespace = fmt.Sprintf("https://sallyport.dev/spdx/%s-%s-%x", product, b.version, all.Sum(nil)[:16])
	return d
}

func (b *bill) programPackage(p program, id common.ElementID) *spdx.Package {
	return &spdx.Package{
		PackageName: p.name, PackageSPDXIdentifier: id, PackageVersion: b.version, PackageFileName: p.name, PrimaryPackagePurpose: "APPLICATION",
		PackageSupplier: &common.Supplier{Supplier: "NOASSERTION"}, PackageDownloadLocation: "NOASSERTION", IsFilesAnalyzedTagPresent: true,
		PackageChecksums:        []common.Checksum{{Algorithm: common.SHA256, Value: p.sha256}},
		PackageLicenseConcluded: license, PackageLicenseDeclared: license, PackageCopyrightText: "NOASSERTION",
		PackageSourceInfo: "built from commit " + b.commit,
		// The module of the programs is this repository's own.
		PackageExternalReferences: []*spdx.PackageExternalReference{purl(module{path: "sallyport.dev/sallyport", version: b.version})},
	}
}

func (m module) asPackage() *spdx.Package {
	p := &spdx.Package{
		PackageName: m.path, PackageSPDXIdentifier: identifier("Module", m.String()), PackageVersion: m.version, PrimaryPackagePurpose: "LIBRARY",
		PackageSupplier: &common.Supplier{Supplier: "NOASSERTION"}, PackageDownloadLocation: "NOASSERTION", IsFilesAnalyzedTagPresent: true,
		PackageLicenseConcluded: "NOASSERTION", PackageLicenseDeclared: "NOASSERTION", PackageCopyrightText: "NOASSERTION",
		PackageExternalReferences: []*spdx.PackageExternalReference{purl(m)},
	}
	if m.sum != "" {
		// A digest over a listing of files and no file's digest, so that it is no checksum of SPDX.
		p.PackageSourceInfo = "go.sum: " + m.sum
	}
	return p
}

// purl is the address by which scanners look a module up.
func purl(m module) *spdx.PackageExternalReference {
	namespace, name := path.Split(m.path)
	url := packageurl.NewPackageURL(packageurl.TypeGolang, strings.TrimSuffix(namespace, "/"), name, m.version, nil, "")
	return &spdx.PackageExternalReference{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: url.ToString()}
}

func relation(from common.ElementID, kind string, to common.ElementID) *spdx.Relationship {
	return &spdx.Relationship{RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)), Relationship: kind}
}

// notInIdentifier is what SPDX 2.3, 7.2 does not take in an identifier.
var notInIdentifier = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func identifier(kind, name string) common.ElementID {
	return common.ElementID(kind + "-" + notInIdentifier.ReplaceAllString(name, "-"))
}
