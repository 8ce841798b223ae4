/** Starts a server of MongoDB's protocol of the tests' own, on loopback only: mongo-java-server, where there is no container of the real one. */

import { cacheFolder, cachePath } from "../support/cache.ts";
import { listens, Program, serverOf, startServer } from "./program.ts";
import { type BrokerRow, type LastingServer, run } from "./server.ts";

const ARTIFACT = "mongo-java-server-h2-backend";
const VERSION = "1.47.0";
const NAME = `${ARTIFACT}-${VERSION}`;

/** MongoDB. */
export const MONGODB: BrokerRow = {
  name: "MONGODB",
  title: "MongoDB",
  service: "mongodb",
  serviceUrl: "mongodb://127.0.0.1:27017/dashi",
  servicePort: 27017,
  packages: ["default-jdk-headless", "maven"],
  tests: /mongo/i,
  version: () => `mongo-java-server ${VERSION}`,
  isInstalled: () => findMongodb() !== undefined,
  install: installMongodb,
  start: () => startMongodb(),
  startLasting: () => startMongodb({ lasting: true }),
};

/** A server that a test may stop, kill and restart. */
export interface Mongodb extends LastingServer {
  /** The port of the server. */
  readonly port: number;
}

/**
 * The server says that it is a MongoDB 6, as which it serves: the driver asks for no less.
 * By itself it writes once a second; where it must last, before each answer.
 */
const LAUNCHER = `
import de.bwaldvogel.mongo.*;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.List;

public class Launcher {
  public static void main(String[] args) {
    boolean lasting = args.length > 2;
    H2Backend backend = new H2Backend(args[1]) {
      @Override
      public Document handleMessage(MongoMessage message) {
        Document reply = super.handleMessage(message);
        if (lasting) commit();
        return reply;
      }
    };
    backend.version(new MongoVersion() {
      public List<Integer> getVersionArray() { return List.of(6, 0, 0); }
      public int getWireVersion() { return 17; }
    });
    MongoServer server = new MongoServer(backend);
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    server.bind("127.0.0.1", Integer.parseInt(args[0]));
  }
}
`;

const PROJECT = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dashi</groupId><artifactId>tests</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>de.bwaldvogel</groupId><artifactId>${ARTIFACT}</artifactId><version>${VERSION}</version>
  </dependency></dependencies>
</project>
`;

/** The folder where the server is installed, or `undefined`. */
export function findMongodb(): string | undefined {
  const folder = cachePath(NAME);
  try {
    return Deno.statSync(`${folder}/Launcher.class`).isFile &&
        Deno.readTextFileSync(`${folder}/Launcher.java`) === LAUNCHER
      ? folder
      : undefined;
  } catch {
    return undefined;
  }
}

async function installMongodb(): Promise<void> {
  const folder = await cacheFolder(NAME);
  for (const [command, ...args] of [["javac", "-version"], ["mvn", "-v"]]) {
    try {
      await run(command ?? "", args);
    } catch {
      throw new Error(
        `it needs Java and Maven, or a container engine, or DASHI_TEST_MONGODB_URL: there is no ${command}`,
      );
    }
  }
  await Deno.remove(`${folder}/Launcher.class`).catch(() => {});
  await Deno.writeTextFile(`${folder}/pom.xml`, PROJECT);
  await Deno.writeTextFile(`${folder}/Launcher.java`, LAUNCHER);
  await run("mvn", [
    "-q",
    "-f",
    `${folder}/pom.xml`,
    "dependency:copy-dependencies",
    `-DoutputDirectory=${folder}/lib`,
  ]);
  // Last: with it the installation is complete.
  await run("javac", [
    "-cp",
    `${folder}/lib/*`,
    "-d",
    folder,
    `${folder}/Launcher.java`,
  ]);
}

/** Starts a server with data of its own. */
export function startMongodb(
  options: { readonly lasting?: boolean } = {},
): Promise<Mongodb> {
  return startServer(
    "mongodb",
    (port, folder) => startOn(port, folder, options.lasting ?? false),
  );
}

async function startOn(
  port: number,
  folder: string,
  lasting: boolean,
): Promise<Mongodb> {
  const installed = findMongodb();
  if (installed === undefined) {
    throw new Error("mongo-java-server is not installed");
  }
  const program = new Program({
    title: `MongoDB on port ${port}`,
    command: "java",
    args: [
      "-Xmx256m",
      "-XX:TieredStopAtLevel=1",
      "-cp",
      `${installed}:${installed}/lib/*`,
      "Launcher",
      String(port),
      `${folder}/data`,
      ...lasting ? ["lasting"] : [],
    ],
    log: `${folder}/log`,
    timeout: 60_000,
    isReady: () => listens(port),
  });
  await program.start();
  return serverOf(program, { folder }, {
    url: `mongodb://127.0.0.1:${port}/dashi`,
    port,
  });
}
