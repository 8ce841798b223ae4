/** Qpid Broker-J from Maven: a broker of AMQP 0-9-1 that is no RabbitMQ. */

import { Program, startServer } from "../brokers/program.ts";
import type { Server } from "../brokers/server.ts";
import { installFromMaven } from "./maven.ts";

const QPID = "9.2.0";

/** Starts it: without its own program, which would want files of its own. */
const LAUNCH = `import java.util.Map;
import org.apache.qpid.server.SystemLauncher;

public class Launch {
  public static void main(String[] args) throws Exception {
    new SystemLauncher().startup(Map.<String, Object>of(
        "type", "Memory", "initialConfigurationLocation", args[0]));
    Thread.currentThread().join();
  }
}
`;

const UNLIKE = "the error ends the connection there, and not the channel";
const REDECLARED = "Qpid leaves a queue that is declared otherwise as it is";
const COUNTED = "Qpid counts the messages that are in hand, too";
const CHANNEL_WIDE = "a prefetch is the channel's there, not the consumer's";
const COPIED = "Qpid has neither CC nor BCC, and the library refuses them";
const ALTERNATE = "Qpid has no alternate exchanges, and they are refused";

/** Cases of the suite that ask what Qpid does otherwise than RabbitMQ, and why. */
export const OPEN_ON_QPID: Readonly<Record<string, string>> = {
  "declareQueue() with other settings is precondition-failed, and other channels live on":
    REDECLARED,
  "an unequal declaration rejects, and harms no other": REDECLARED,
  "a list with one entity that is refused rejects with its name, and the connection goes on":
    REDECLARED,
  "declareQueue() refuses names of the broker's own":
    "Qpid keeps no names of queues for itself",
  "declareExchange() of another type is precondition-failed": UNLIKE,
  "declareExchange() refuses names of the broker's own": UNLIKE,
  "an exclusive queue is locked to others, and goes with its connection":
    UNLIKE,
  "all exclusive queues go with their connection, also where some went before":
    UNLIKE,
  "get() of a missing queue is not-found": UNLIKE,
  "receive() of a queue that is not there says so, and does not wait": UNLIKE,
  "peek() and inspect() of a queue that is not there say so": UNLIKE,
  "an exclusive consumer keeps others out": UNLIKE,
  "a misspelt queue rejects with the name that was meant, and what to do":
    UNLIKE,
  "purgeQueue() removes ready messages alone, and counts them":
    "Qpid removes what is in hand, too",
  "reject() with requeue goes back to its own queue alone": COUNTED,
  "a message that was requeued is there once when its connection is closed":
    COUNTED,
  "a settlement with an aborted signal rejects with its reason, and may be called again":
    COUNTED,
  "settlements that are too late to begin change nothing: the message is held still":
    COUNTED,
  "cancelling gives back what was not delivered, and keeps the rest unsettled":
    COUNTED,
  "a consumer without settled messages gets no more than its prefetch, and is told what is lost with it":
    COUNTED,
  "at prefetch 1 an unsettled message holds back the next": CHANNEL_WIDE,
  "a consumer that holds all it may leaves the rest to others": CHANNEL_WIDE,
  "a consumer ends when its queue is deleted": "Qpid does not tell a consumer",
  "an internal exchange takes no messages from publishers":
    "Qpid has no internal exchanges, and they are refused",
  "an alternate exchange takes what has no match": ALTERNATE,
  "an Exchange as alternateExchange is declared, and takes what matches nothing":
    ALTERNATE,
  "the header CC adds keys; BCC does, and is not delivered": COPIED,
  "queues that CC and BCC add are reached while others declare": COPIED,
  "the queues that a message names in CC get it once, whatever becomes of it in another":
    COPIED,
  "a claim check keeps the body of a message that several queues may have until its expiry":
    COPIED,
  "a topic exchange matches words":
    "of an empty word between two dots Qpid takes none for one",
  "bindings of one key and other arguments are apart, and one is removed without the other":
    "Qpid has one binding for each key",
  "a headers exchange compares what begins with x- where it is told to":
    "Qpid has neither all-with-x nor any-with-x",
};

/** Installs it, and says how it is started. */
export async function installQpid(): Promise<{
  readonly version: string;
  start(): Promise<Server>;
}> {
  const installed = await installFromMaven(
    "qpid",
    QPID,
    ["broker-core", "broker-plugins-amqp-0-8-protocol"]
      .concat("broker-plugins-memory-store")
      .map((name) => `org.apache.qpid:qpid-${name}:${QPID}`),
  );
  return {
    version: QPID,
    start: () =>
      startServer("qpid", (port, folder) => start(installed, port, folder)),
  };
}

async function start(
  installed: string,
  port: number,
  folder: string,
): Promise<Server> {
  await Deno.writeTextFile(`${folder}/Launch.java`, LAUNCH);
  await Deno.writeTextFile(
    `${folder}/config.json`,
    JSON.stringify(configuration(port)),
  );
  const program = new Program({
    title: `Qpid on port ${port}`,
    command: "java",
    args: ["-Xmx256m", "-cp", `${installed}/lib/*`, "Launch.java"]
      .concat("config.json"),
    cwd: folder,
    log: `${folder}/log`,
    timeout: 120_000,
    isReady: async () => {
      const socket = await Deno.connect({ hostname: "127.0.0.1", port });
      socket.close();
      return true;
    },
  });
  await program.start();
  return {
    url: `amqp://guest:guest@127.0.0.1:${port}//`,
    kill: () => program.end("SIGKILL"),
    async stop() {
      await program.end("SIGTERM");
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    },
  };
}

/** One port on loopback, one user and one virtual host, which keeps nothing. */
function configuration(port: number): object {
  return {
    name: "dashi",
    modelVersion: "9.0",
    authenticationproviders: [{
      name: "plain",
      type: "Plain",
      secureOnlyMechanisms: [],
      users: [{ name: "guest", type: "managed", password: "guest" }],
    }],
    ports: [{
      name: "AMQP",
      port: String(port),
      bindingAddress: "127.0.0.1",
      authenticationProvider: "plain",
      protocols: ["AMQP_0_9_1"],
      virtualhostaliases: [{ name: "default", type: "defaultAlias" }],
    }],
    virtualhostnodes: [{
      name: "default",
      type: "Memory",
      defaultVirtualHostNode: "true",
      virtualHostInitialConfiguration: JSON.stringify({ type: "Memory" }),
    }],
  };
}
