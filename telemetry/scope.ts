/** The instrumentation scope that spans and metrics are told under. */
export const SCOPE: {
  readonly name: string;
  readonly version: string;
  readonly options: { readonly schemaUrl: string };
} = {
  name: "@dashi/mq",
  version: "0.1.0",
  options: { schemaUrl: "https://opentelemetry.io/schemas/1.44.0" },
};
