/** Certificates of the tests' own, by openssl. */

import { run } from "../brokers/server.ts";

/** Whether they can be made. */
export async function hasOpenssl(): Promise<boolean> {
  try {
    await run("openssl", ["version"]);
    return true;
  } catch {
    return false;
  }
}

/** RSA keys take a hundred times as long to find. */
const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/** Makes an authority (`ca`), another that is not to be trusted (`other`), and what the first signed: `server` for "localhost", `client` for "guest". */
export async function certificates(folder: string): Promise<void> {
  const openssl = (...args: string[]) => run("openssl", args);
  for (const name of ["ca", "other"]) {
    await openssl(
      "req",
      "-x509",
      ...NEW_KEY,
      "-nodes",
      "-days",
      "2",
      "-subj",
      `/CN=${name}`,
      "-keyout",
      `${folder}/${name}.key`,
      "-out",
      `${folder}/${name}.pem`,
    );
  }
  for (
    const [name, subject] of [["server", "localhost"], ["client", "guest"]]
  ) {
    await openssl(
      "req",
      ...NEW_KEY,
      "-nodes",
      "-subj",
      `/CN=${subject}`,
      "-keyout",
      `${folder}/${name}.key`,
      "-out",
      `${folder}/${name}.csr`,
    );
    await Deno.writeTextFile(
      `${folder}/${name}.ext`,
      `subjectAltName=DNS:${subject}\nbasicConstraints=CA:FALSE\n`,
    );
    await openssl(
      "x509",
      "-req",
      "-days",
      "2",
      "-in",
      `${folder}/${name}.csr`,
      "-CA",
      `${folder}/ca.pem`,
      "-CAkey",
      `${folder}/ca.key`,
      "-CAcreateserial",
      "-extfile",
      `${folder}/${name}.ext`,
      "-out",
      `${folder}/${name}.pem`,
    );
  }
}
