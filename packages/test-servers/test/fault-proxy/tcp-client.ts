import { connect, type Socket } from 'node:net'
import { expect, vi } from 'vitest'

/** Options of `vi.waitFor` for events that take longer on a busy machine. */
export const patiently = { timeout: 60_000, interval: 5 }

/** A TCP connection that records what it receives and how it ends. */
export class TcpClient {
  readonly socket: Socket
  received = ''
  /** The error code, or `closed`. `undefined` while the connection is open. */
  ended: string | undefined

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket.on('data', (chunk) => {
      this.received += chunk
    })
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.ended = error.code
    })
    this.socket.on('close', () => {
      this.ended ??= 'closed'
    })
  }

  send(line: string): this {
    this.socket.write(`${line}\r\n`)
    return this
  }

  async expectReceived(text: string): Promise<void> {
    await vi.waitFor(() => expect(this.received).toBe(text), patiently)
  }

  async expectEnded(how: string): Promise<void> {
    await vi.waitFor(() => expect(this.ended).toBe(how), patiently)
  }
}
