// Sends HTTP requests over keep-alive connections. The parent process sends `{ port, path, connections, ms }` and
// receives the durations of the requests. Each connection sends the next request when it has received a response, and
// begins with a request for /login, whose cookie it sends from then on.
import { connect } from 'node:net'

const pools = new Map()

process.on('message', async ({ port, path, connections, ms }) => {
  const key = `${port} ${connections}`
  if (!pools.has(key)) pools.set(key, await Promise.all(openAll(port, connections)))
  const deadline = performance.now() + ms
  const durations = await Promise.all(pools.get(key).map((each) => each.run(path, deadline)))
  process.send(durations.flat())
})
process.once('disconnect', () => process.exit(0))
process.send('started')

function openAll(port, connections) {
  return Array.from({ length: connections }, async (_, index) => {
    const connection = new Connection(port, index)
    await connection.login()
    return connection
  })
}

class Connection {
  #socket
  #cookie = ''
  #received = ''
  #onResponse
  #next

  constructor(port, index) {
    // Each connection starts at another key.
    this.#next = index * 31
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.setEncoding('latin1').on('data', (chunk) => this.#onData(chunk))
  }

  async login() {
    const head = await this.#request('/login')
    const cookie = /^set-cookie: ([^;\r]*)/im.exec(head)?.[1]
    if (cookie !== undefined) this.#cookie = `Cookie: ${cookie}\r\n`
  }

  async run(path, deadline) {
    const durations = []
    let now = performance.now()
    while (now < deadline) {
      const before = now
      await this.#request(`${path}/${this.#next++ % 1_000}`)
      now = performance.now()
      durations.push(now - before)
    }
    return durations
  }

  #request(path) {
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${this.#cookie}\r\n`)
    return new Promise((resolve) => {
      this.#onResponse = resolve
    })
  }

  #onData(chunk) {
    this.#received += chunk
    const headEnd = this.#received.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const length = Number(/^content-length: (\d+)/im.exec(this.#received)[1])
    if (this.#received.length < headEnd + 4 + length) return
    const response = this.#received
    this.#received = ''
    if (!response.startsWith('HTTP/1.1 200')) throw new Error(response)
    this.#onResponse(response)
  }
}
