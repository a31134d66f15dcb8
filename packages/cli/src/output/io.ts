import pc from 'picocolors'
import { printableOutput } from './printable.ts'

type Colors = ReturnType<typeof pc.createColors>

/** What a command reads from and writes to. */
export interface Io {
  /** Environment variables. Those of `.env` files are added to `process.env`, which client libraries read. */
  readonly env: NodeJS.ProcessEnv
  /** The folder in which relative paths and packages are looked up. */
  readonly cwd: string
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
}

/** The columns that texts are wrapped to at most, because longer lines are hard to read. */
const maxWidth = 80

/** Writes the output of a command. Secrets that are known are masked, and control characters escaped, wherever they come from. */
export class Output {
  readonly colors: Colors
  readonly width: number
  /** Whether a person can answer questions, and sees progress. */
  readonly isInteractive: boolean
  readonly io: Io
  #secrets: readonly RegExp[] = []

  constructor(io: Io) {
    const { stdin, stdout, env } = io
    const isTerminal = stdout.isTTY === true
    this.io = io
    this.isInteractive = isTerminal && stdin.isTTY === true && !env.CI
    this.width = Math.min(maxWidth, (isTerminal && stdout.columns) || maxWidth)
    this.colors = pc.createColors(usesColors(env, isTerminal))
  }

  /** Sets the texts that must not be written. */
  hide(secrets: readonly string[]): void {
    this.#secrets = [...secrets].sort((a, b) => b.length - a.length).map(patternOf)
  }

  line(text = ''): void {
    this.#write(this.#masked(text))
  }

  json(value: unknown): void {
    // Masked before it is JSON, where a secret may be a number, or have escapes.
    const masked = (_: string, member: unknown) =>
      typeof member === 'string' ? this.#masked(member) : member
    this.#write(JSON.stringify(value, masked, 2))
  }

  error(text: string): void {
    this.io.stderr.write(`${this.#printable(this.#masked(text))}\n`)
  }

  #write(text: string): void {
    this.io.stdout.write(`${this.#printable(text)}\n`)
  }

  #masked(text: string): string {
    return this.#secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
  }

  #printable(text: string): string {
    return printableOutput(text, this.colors.isColorSupported)
  }
}

/** Finds a secret also where its spaces have become ends of lines. */
function patternOf(secret: string): RegExp {
  const escaped = secret.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  return new RegExp(escaped.replaceAll(/\s+/g, '\\s+'), 'g')
}

/**
 * `FORCE_COLOR=0` turns them off, as with Node.
 *
 * @see https://no-color.org
 */
function usesColors({ NO_COLOR, FORCE_COLOR, TERM }: NodeJS.ProcessEnv, isTerminal: boolean) {
  if (NO_COLOR) return false
  if (FORCE_COLOR) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false'
  return isTerminal && TERM !== 'dumb'
}
