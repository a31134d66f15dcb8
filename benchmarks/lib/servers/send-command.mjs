import { connect } from 'node:net'

/** Sends one text command to a Redis or memcached server on a new connection. Resolves to the reply. */
export function sendCommand(port, command) {
  return new Promise((resolve, reject) => {
    let reply = ''
    // Both servers close the connection after `quit`: the reply is then complete.
    const socket = connect({ host: '127.0.0.1', port }, () =>
      socket.write(`${command}\r\nquit\r\n`),
    )
    socket.setEncoding('utf8').on('data', (chunk) => {
      reply += chunk
    })
    socket.once('end', () => resolve(reply))
    socket.once('error', reject)
  })
}
