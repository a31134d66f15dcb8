import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'vitest'

const packageFolder = fileURLToPath(new URL('..', import.meta.url))
const program = join(packageFolder, 'bin/stowage.js')
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
}

/** An empty folder in which commands run, so that they find no `.env`. */
export class Folder {
  readonly path: string = mkdtempSync(join(tmpdir(), 'stowage-cli-'))

  write(file: string, content: string | Uint8Array): string {
    const path = join(this.path, file)
    writeFileSync(path, content)
    return path
  }

  /** Runs the command in this folder as a process of its own. */
  run(args: readonly string[], env: RunOptions['env'] = {}): Promise<Outcome> {
    return stowage(args, { cwd: this.path, env })
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** Starts the command with these variables only. */
export function start(args: readonly string[], options: RunOptions): ChildProcess {
  const { PATH, HOME } = process.env
  const quiet = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' }
  return spawn(process.execPath, [options.program ?? program, ...args], {
    cwd: options.cwd,
    env: { PATH, HOME, ...quiet, ...options.env },
  })
}

export function stowage(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
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

/** Returns the JSON of a command, which must be valid according to the published schema. */
// biome-ignore lint/suspicious/noExplicitAny: each command has another output
export function parsed({ stdout, stderr }: Outcome): any {
  expect(stderr).toBe('')
  const output = JSON.parse(stdout)
  expect(validate(output), JSON.stringify(validate.errors)).toBe(true)
  return output
}
