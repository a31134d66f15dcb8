import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'

export type Variables = Readonly<Record<string, string>>

/** Longer than a server or a process stands still on a busy machine. */
export const redisDeadlines: Variables = { REDIS_TIMEOUT: '10s', REDIS_CONNECT_TIMEOUT: '10s' }

/** An example as it runs in production: in a separate process, configured only by environment variables. */
export class AppProcess {
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  stdout = ''
  stderr = ''

  /** `main` is the entry file. The process gets `variables`, a free port, and nothing else of this environment. */
  constructor(main: URL, variables: Variables) {
    const { PATH = '', HOME = '' } = process.env
    this.#child = spawn(process.execPath, [fileURLToPath(main)], {
      env: { PATH, HOME, PORT: '0', ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child.stdout?.on('data', (chunk) => {
      this.stdout += chunk
    })
    this.#child.stderr?.on('data', (chunk) => {
      this.stderr += chunk
    })
    // "close" is emitted after the last output; "exit" can be emitted before it.
    this.#closed = once(this.#child, 'close')
  }

  /** The URL that the example prints when it is ready. */
  url(): Promise<string> {
    return eventually(async () => {
      if (this.#child.exitCode !== null) throw new Error(`The example exited: ${this.stderr}`)
      return /\blistening on (\S+)\n/i.exec(this.stdout)?.[1]
    })
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Waits until the process exits. `null` if a signal killed it. */
  async exitCode(): Promise<number | null> {
    await this.#closed
    return this.#child.exitCode
  }

  /** Sends SIGTERM and resolves to the exit code. */
  async stop(): Promise<number | null> {
    if (this.#child.exitCode === null) this.signal('SIGTERM')
    return this.exitCode()
  }
}
