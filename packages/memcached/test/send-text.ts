import { connect } from 'node:net'

/** Sends a command in the text protocol to a local server and returns the reply. */
export function sendText(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`))
    socket.once('error', reject)
    socket.once('data', (reply) => {
      socket.destroy()
      resolve(String(reply))
    })
  })
}
