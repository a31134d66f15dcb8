import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

const program = fileURLToPath(new URL('program.cjs', import.meta.url))

/** What observes a process adds properties to each request and response, which are those of no client. */
test.each(['nothing', 'repl', 'performance observer', 'tracing', 'domain', 'OpenTelemetry'])(
  'responses of a process are stored, observed by: %s',
  async (observer) => {
    // `node:trace_events` writes its file into the current folder.
    const cwd = mkdtempSync(join(tmpdir(), 'stowage-observed-'))
    onTestFinished(() => rmSync(cwd, { recursive: true }))
    const options = { cwd, timeout: 120_000 }
    const { stdout } = await promisify(execFile)(process.execPath, [program, observer], options)
    const names = ['middleware', 'cached'].flatMap((form) =>
      ['text', 'stream', 'listeners'].map((handler) => `${form} ${handler}`),
    )
    const hit = 'Stowage; hit; ttl=seconds'
    expect(JSON.parse(stdout)).toEqual(Object.fromEntries(names.map((name) => [name, hit])))
  },
)
