import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from '../run.mjs'
import { exportStatement } from './source-exports.mjs'

const hooks = new URL('hooks.mjs', import.meta.url).href
/** The mutant that changes nothing. */
export const unchanged = { start: 0, end: 0, to: '' }
const program = fileURLToPath(new URL('test-process.mjs', import.meta.url))

/** Runs the tests of mutants, in a process that is started again after a mutant with which they do not end. */
export class TestRunner {
  #folder = mkdtempSync(join(tmpdir(), 'stowage-mutate-'))
  #mutantFile = join(this.#folder, 'mutant.json')
  #child
  #mutated
  /** The environment of programs that import the changed bundle, and of those that they start. */
  env = {
    ...process.env,
    STOWAGE_MUTANT_FILE: this.#mutantFile,
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${hooks}`,
  }

  constructor({ bundle, code }) {
    this.#mutated = { bundle, exports: exportStatement(code) }
    this.plant(unchanged)
  }

  /** The tests run with this mutant from now on. */
  plant({ start, end, to }) {
    writeFileSync(this.#mutantFile, JSON.stringify({ ...this.#mutated, start, end, to }))
  }

  /** @returns the first test that fails; `undefined` if all pass */
  async failedTest(files, { cases = '', timeoutMs }) {
    this.#child ??= this.#start()
    const end = new AbortController()
    const timer = setTimeout(() => end.abort(), timeoutMs)
    this.#child.send({ files, cases })
    try {
      const [{ failed }] = await once(this.#child, 'message', { signal: end.signal })
      return failed
    } catch {
      this.#stop()
      return `${files[0]}: tests that do not end`
    } finally {
      clearTimeout(timer)
    }
  }

  close() {
    this.#stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #start() {
    // A process group of its own, because the workers have to be ended as well.
    const stdio = ['ignore', 'ignore', 'ignore', 'ipc']
    return fork(program, { cwd: root, env: this.env, stdio, detached: true })
  }

  #stop() {
    if (this.#child !== undefined) process.kill(-this.#child.pid, 'SIGKILL')
    this.#child = undefined
  }
}
