import { assertEquals, assertMatch } from "@std/assert";
import { onTerminal } from "./running.ts";

for (
  const [args, words] of [
    [[], /no command.*ping, doctor, list/],
    [["lsit"], /lsit.*Did you mean list/],
    [["dlq"], /no command.*list, show, redrive, .*; dashi dlq --help says/],
    [["dlq", "show"], /argument 'queue'; dashi dlq show --help says more/],
    [["list", "foo"], /'foo'.*queues, exchanges, bindings/],
    [["peek"], /missing required argument 'queue'/],
    [["peek", "q", "-n", "0"], /whole number from 1/],
    [["peek", "q", "--cuont", "1"], /--cuont.*Did you mean --count/],
    [["dlq", "purge", "q"], /--yes/],
    [["dlq", "drop", "q", "--yes"], /--id ID or --filter/],
    [["dlq", "drop", "q", "--id", "1"], /for good.*--yes/],
    [["dlq", "show", "q", "--filter", "x"], /"x" is none.*reason=expired/],
    [["dlq", "show", "q", "--filter", "reson=x"], /no field.*from, reason/],
    [["dlq", "redrive", "q", "--rate", "x"], /50\/s, 30\/m or 10\/h/],
    [["purge", "q"], /--yes/],
    [["delete", "q"], /"q", and its messages, .*--yes/],
    [["delete", "q", "r"], /"q", "r", and their messages, .*--yes/],
    [["declare", "q", "--argument", "x"], /x-max-length=1000/],
    [["publish", "q"], /no payload/],
    [["publish", "q", "1", "--header", "x"], /tenant=7/],
    [["publish", "q", "1", "--file", "f"], /give one of them/],
    [["publish", "q", "--file", "nofile"], /"nofile" cannot be read/],
    [["--url-file", "nofile", "list"], /"nofile".*cannot be read/],
    [["--timeout", "0", "list"], /over 0/],
    [["--timeout", "soon", "list"], /--timeout <seconds>.*"?soon.*over 0/],
    [["--module", "nofile.ts", "list"], /"nofile.ts" of --module/],
    [["bench", "--messages", "many"], /whole number from 1/],
    [["bench", "--size", "100000000"], /at most 16777216/],
    [["bench", "--concurrency", "65536"], /at most 65535/],
    [["peek", "q", "-n", "1001"], /whole number from 1 to 1000/],
    [["dlq", "show", "q", "-n", "1001"], /whole number from 1 to 1000/],
    [["dlq", "redrive", "q", "--to", "q"], /"q" is the queue .* another one/],
    [["redrive", "q"], /'redrive': it is dashi dlq redrive; dashi --help/],
    [["declare", "q", "--exchange", "topics"], /"topics".*direct, topic/],
    [["declare", ""], /"" is none.*dashi declare orders/],
    [["publish", "q", "1", "--priority", "300"], /from 0 to 255/],
    [["--url", "localhost", "list"], /scheme.*"amqp:\/\//],
    [["--url", "http://localhost", "list"], /"http".*known are .*redis/],
    [["move"], /no queue: name some, or give --all/],
    [["move", "q", "--to", "a*"], /goes with one pattern/],
    [["move", "q", "--topology", "some"], /choices are all, plain, none/],
    [["move", "q", "--to-url", "redis://:secret@h"], /DASHI_TO_URL/],
  ] as const
) {
  Deno.test(`dashi ${args.join(" ")} says what is wrong, and ends with 2`, async () => {
    const { code, out, err } = await onTerminal(args, "memory://wrong", 80);
    assertEquals([code, out], [2, ""]);
    assertMatch(err, words);
    assertEquals(err.trim().split("\n").length, 1);
  });
}
