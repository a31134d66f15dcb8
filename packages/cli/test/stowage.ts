import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { run } from '@stowage/cli'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'vitest'

const packageFolder = fileURLToPath(new URL('..', import.meta.url))
/** The file that starts the command. */
export const program: string = join(packageFolder, 'bin/stowage.js')
const schema = JSON.parse(readFileSync(join(packageFolder, 'schema.json'), 'utf8'))
const validate = new Ajv2020({ allowUnionTypes: true }).compile(schema)

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly program?: string
  /** Whether the modes of files hold for root as well. */
  readonly obeysModes?: boolean
}

/** An empty folder in which commands run, so that they find no `.env`. */
export class Folder {
  readonly path: string = mkdtempSync(join(tmpdir(), 'stowage-cli-'))

  write(file: string, content: string | Uint8Array): string {
    const path = join(this.path, file)
    writeFileSync(path, content)
    return path
  }

  /** Runs the command in this folder, with these variables only. */
  run(args: readonly string[], env: RunOptions['env'] = {}): Promise<Outcome> {
    return stowage(args, { cwd: this.path, env })
  }

  /** The same in a process of its own, in every tier: for what depends on the options or the end of a process. */
  spawn(args: readonly string[], env: RunOptions['env'] = {}): Promise<Outcome> {
    return spawned(args, { cwd: this.path, env })
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** Starts the command with these variables only. */
export function start(args: readonly string[], options: RunOptions): ChildProcess {
  // Not another user, who may not be allowed to read this checkout.
  const isRestricted = options.obeysModes === true && process.getuid?.() === 0
  const limits = isRestricted ? ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'] : []
  const [command = '', ...rest] = [...limits, process.execPath, options.program ?? program, ...args]
  return spawn(command, rest, {
    cwd: options.cwd,
    env: variablesOf(options),
  })
}

/**
 * Runs the command with these variables only: in this process, which is six times cheaper than one process per command,
 * and in the full tier as a process, so that each command is also proved to exit by itself.
 */
export const stowage = process.env.TEST_TIER === 'full' ? spawned : inProcess

export function spawned(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = start(args, options)
    let [stdout, stderr] = ['', '']
    child.stdout?.on('data', (chunk) => {
      stdout += chunk
    })
    child.stderr?.on('data', (chunk) => {
      stderr += chunk
    })
    child.stdin?.end()
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** The command that runs in this process, because there is one environment. */
let last: Promise<unknown> = Promise.resolve()

function inProcess(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const outcome = last.then(() =>
    withEnvironment(variablesOf(options), () => runHere(args, options)),
  )
  last = outcome.catch(() => {})
  return outcome
}

async function runHere(args: readonly string[], { cwd }: RunOptions): Promise<Outcome> {
  const [stdout, stderr] = [new Text(), new Text()]
  const streams = { stdin: Readable.from([]), stdout, stderr } as object
  const code = await run(args, { cwd: cwd ?? process.cwd(), ...streams })
  return { code, stdout: stdout.text, stderr: stderr.text }
}

/** What was written to a stream. */
class Text extends Writable {
  text = ''

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk
    done()
  }
}

/** Replaces all variables, and what bin/stowage.js replaces, until the command has ended. */
async function withEnvironment<T>(env: NodeJS.ProcessEnv, command: () => Promise<T>): Promise<T> {
  const before = { ...process.env }
  const { warn } = console
  console.warn = () => {}
  setVariables(env)
  try {
    return await command()
  } finally {
    setVariables(before)
    console.warn = warn
  }
}

function setVariables(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(process.env)) delete process.env[name]
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined) process.env[name] = value
  }
}

function variablesOf({ env }: RunOptions): NodeJS.ProcessEnv {
  const { PATH, HOME } = process.env
  const quiet = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' }
  return { PATH, HOME, ...quiet, ...env }
}

/** Returns the JSON of a command, which must be valid according to the published schema. */
// biome-ignore lint/suspicious/noExplicitAny: each command has another output
export function parsed({ stdout, stderr }: Outcome): any {
  expect(stderr).toBe('')
  const output = JSON.parse(stdout)
  expect(validate(output), JSON.stringify(validate.errors)).toBe(true)
  return output
}
