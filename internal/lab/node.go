package lab

import (
	"context"
	"embed"
	"encoding/json"
	"os"
	"os/exec"
)

//go:embed node/*.js
var nodeFiles embed.FS

// A script is a program in JavaScript that runs as a side.
type script struct {
	file  string // in nodeFiles
	label string
	does  string
}

var (
	nodeBufferAll         = script{"buffer-all.js", "Node naive", "the tutorial's first server, as it is"}
	nodePipe              = script{"pipe.js", "Node pipe()", "the tutorial's stream.pipe(res), as it is"}
	nodeIgnoreWriteResult = script{"ignore-write-result.js", "Node naive", "the tutorial's interview question, as it is"}
	nodePipeDestroy       = script{"pipe-destroy.js", "Node destroy", "the tutorial's stream.destroy() when the request closes, as it is"}
	nodeUpload            = script{"upload.js", "Node pipe()", "the tutorial's req.pipe(writable), as it is"}
	nodeUploadUnchecked   = script{"upload-unchecked.js", "Node naive", "the tutorial's upload with the mistake of its interview question"}
	nodePush              = script{"push.js", "Node naive", "this.push() a thousand times for each item, and write() unchecked"}
	nodePushPipeline      = script{"push-pipeline.js", "Node pipeline", "this.push() a thousand times for each item, in the tutorial's pipeline()"}
)

// FindNode returns the path of the node program, or an error if it is not
// installed.
func FindNode() (string, error) { return exec.LookPath("node") }

// command is the process that runs the script. The tutorial's lines are within a
// function, behind the harness.
func (c script) command(ctx context.Context, node string, s spec) (*exec.Cmd, error) {
	harness, err := nodeFiles.ReadFile("node/harness.js")
	if err != nil {
		return nil, err
	}
	code, err := nodeFiles.ReadFile("node/" + c.file)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, node, "-e", string(harness)+"(function () {\n"+string(code)+"})();\n")
	cmd.Env = append(os.Environ(), "WEIR_LAB_SPEC="+string(text))
	return cmd, nil
}
