import { run } from "../brokers/server.ts";
import { cacheFolder } from "../support/cache.ts";

/**
 * Installs libraries from Maven, with what they need, unless they are there.
 *
 * @param name The name of the program that they are.
 * @param version Its version.
 * @param libraries `group:artifact:version` of each.
 * @returns The folder; the libraries are in its folder `lib`.
 */
export async function installFromMaven(
  name: string,
  version: string,
  libraries: readonly string[],
): Promise<string> {
  const installed = await cacheFolder(`${name}-${version}`);
  const done = `${installed}/installed`;
  try {
    await Deno.stat(done);
    return installed;
  } catch {
    // It is to be installed.
  }
  const dependencies = libraries.map((each) => {
    const [group, artifact, version] = each.split(":");
    return `<dependency>
    <groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version>
  </dependency>`;
  });
  await Deno.writeTextFile(
    `${installed}/pom.xml`,
    `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dashi</groupId><artifactId>tests</artifactId><version>1</version>
  <dependencies>${dependencies.join("")}</dependencies>
</project>
`,
  );
  await run("mvn", [
    "-q",
    "-f",
    `${installed}/pom.xml`,
    "dependency:copy-dependencies",
    `-DoutputDirectory=${installed}/lib`,
  ]);
  await Deno.writeTextFile(done, "");
  return installed;
}
