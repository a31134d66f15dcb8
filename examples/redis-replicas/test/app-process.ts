import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'

export type Variables = Readonly<Record<string, string>>

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))

/** The app as it is started in production: a process of its own, configured by variables alone. */
export class AppProcess {
  readonly #child: ChildProcess
  readonly #exit: Promise<unknown>
  stdout = ''
  stderr = ''

  constructor(variables: Variables) {
    const { PATH = '', HOME = '' } = process.env
    this.#child = spawn(process.execPath, [main], {
      env: { PATH, HOME, PORT: '0', ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child.stdout?.on('data', (chunk) => {
      this.stdout += chunk
    })
    this.#child.stderr?.on('data', (chunk) => {
      this.stderr += chunk
    })
    // "close" comes after the last output, "exit" may come before it.
    this.#exit = once(this.#child, 'close')
  }

  /** Where it listens. */
  url(): Promise<string> {
    return eventually(async () => {
      if (this.#child.exitCode !== null) throw new Error(`The app ended: ${this.stderr}`)
      return /^Stowage replicas example listening on (\S+)\n/m.exec(this.stdout)?.[1]
    })
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** The exit code, once it has ended by itself. */
  async exitCode(): Promise<number | null> {
    await this.#exit
    return this.#child.exitCode
  }

  async stop(): Promise<number | null> {
    if (this.#child.exitCode === null) this.signal('SIGTERM')
    return this.exitCode()
  }
}
