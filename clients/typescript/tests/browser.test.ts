import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import { Client } from "stepwell";

import { SERVER, unique } from "./place.js";

/** Every module that an entry reaches, by what it says. */
function graph(entry: string): Map<string, string> {
  const modules = new Map<string, string>();
  const open = [import.meta.resolve(entry)];
  for (let url = open.pop(); url !== undefined; url = open.pop()) {
    if (modules.has(url)) {
      continue;
    }
    assert.ok(url.startsWith("file:"), `${url} is no module of the package`);
    const text = readFileSync(fileURLToPath(url), "utf8");
    modules.set(url, text);
    const imports = text.matchAll(/(?:from|import)\s*\(?\s*["']([^"']+)["']/g);
    for (const [, name = ""] of imports) {
      open.push(name.startsWith(".") ? new URL(name, url).href : name);
    }
  }
  return modules;
}

test("the browser's entry imports nothing of Node", () => {
  const modules = graph("stepwell/browser");
  assert.ok(modules.size >= 6, [...modules.keys()].join(" "));
  for (const [url, text] of modules) {
    assert.doesNotMatch(text, /\b(process|Buffer|require|global|setImmediate)\b\s*[.(\[]/, url);
  }
  assert.throws(() => graph("stepwell"), /node:/, "the other entry does: this would be seen");
});

test("it runs where there is nothing but what a browser has", async () => {
  const client = new Client({ server: SERVER });
  const kind = unique("kind");
  const job = await client.enqueue(kind, {});
  await client.cancel(job);
  const entry = JSON.stringify(import.meta.resolve("stepwell/browser"));
  const urls = JSON.stringify([...graph("stepwell/browser")]);
  // A world of its own, without Node's globals and without its loader.
  const program = `
    import vm from "node:vm";
    const { fetch, AbortController, TextDecoder, URLSearchParams, setTimeout, clearTimeout, performance } = globalThis;
    const world = { fetch, AbortController, TextDecoder, URLSearchParams, setTimeout, clearTimeout, performance };
    const context = vm.createContext({ ...world, out: console.log });
    const loaded = ([url, text]) => [url, new vm.SourceTextModule(text, { context, identifier: url })];
    const modules = new Map(${urls}.map(loaded));
    const link = (name, from) => {
      const found = modules.get(new URL(name, from.identifier).href);
      if (found === undefined) throw new Error("there is no " + name);
      return found;
    };
    const page = new vm.SourceTextModule(\`
      import { Reader, JobCancelled } from "stepwell/browser";
      const reader = new Reader({ server: ${JSON.stringify(SERVER)} });
      const { data } = await reader.jobs({ kind: ${JSON.stringify(kind)} });
      const ended = await reader.wait(data[0].id).catch((error) => error instanceof JobCancelled && error.job.state);
      const types = [];
      for await (const event of reader.events({ after: 0, kind: ${JSON.stringify(kind)} })) {
        types.push(event.type);
        if (event.type === "job:cancelled") break;
      }
      out([typeof process, typeof Buffer, (await reader.job(data[0].id)).id, ended, ...types].join(" "));
    \`, { context, identifier: "page:" });
    await page.link((name, from) => (name.startsWith(".") ? link(name, from) : modules.get(${entry})));
    await page.evaluate();
  `;
  const flags = ["--experimental-vm-modules", "--no-warnings", "--input-type=module", "-e", program];
  const { stdout } = await promisify(execFile)(process.execPath, flags);
  assert.equal(stdout.trim(), `undefined undefined ${job} cancelled job:enqueued job:cancelled`);
});
