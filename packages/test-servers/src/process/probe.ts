import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'

const host = '127.0.0.1'
const timeoutMs = 1_000

export interface Probe {
  readonly port: number
  readonly tls: boolean
  /** Sent after connecting. Without it, an accepted connection is enough. */
  readonly request?: string
  /** Pattern that the first bytes of the reply have to match. */
  readonly reply?: RegExp
}

/** Whether a server accepts a connection and, if a request is given, replies as expected. */
export function probe({ port, tls, request, reply }: Probe): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (ok: boolean) => {
      socket.destroy()
      resolve(ok)
    }
    const onConnect = () => {
      if (request === undefined) finish(true)
      else socket.write(request)
    }
    const socket = tls
      ? connectTls({ port, host, rejectUnauthorized: false }, onConnect)
      : connect(port, host, onConnect)
    socket.once('data', (data) => finish(reply === undefined || reply.test(`${data}`)))
    socket.once('error', () => finish(false))
    socket.setTimeout(timeoutMs, () => finish(false))
  })
}
