import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { type RedisServer, startRedis } from './redis-server.ts'
import { decodeReply, encodeCommand } from './resp.ts'

/** Which commands the server has for what scripts did before: those of Redis 8.4, or of Valkey 9.0. */
export type Dialect = 'redis' | 'valkey'

export interface ScriptlessRedis {
  readonly url: string
  readonly server: RedisServer
  /** The commands of the clients, in upper case. */
  readonly commands: string[]
  /** A server takes its place that permits scripts, and has none of the newer commands: all connections end. */
  readonly becomeOlder: () => void
  readonly stop: () => Promise<void>
}

/**
 * Stands in for a server of a newer version whose users may run no scripts, which Debian does not have: a proxy in front of
 * the redis-server that is installed. It refuses scripts, and replies to SET with IFEQ, DELEX or DELIFEQ as Redis 8.6.3 and
 * Valkey 9.1.2 do, by running a script itself. Everything else reaches the server as it is.
 */
export async function startScriptlessRedis(dialect: Dialect): Promise<ScriptlessRedis> {
  const server = await startRedis()
  const commands: string[] = []
  const sockets = new Set<Socket>()
  let isOlder = false
  const closeAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  const proxy: Server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: server.port, host: '127.0.0.1', noDelay: true })
    const parser = new CommandParser()
    client.on('data', (chunk: Buffer) => {
      for (const args of parser.add(chunk)) {
        commands.push(nameOf(args))
        upstream.write(encodeCommand(isOlder ? args : translate(args, dialect), 'latin1'))
      }
    })
    upstream.pipe(client)
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port } = proxy.address() as AddressInfo
  return {
    url: `redis://127.0.0.1:${port}`,
    server,
    commands,
    becomeOlder: () => {
      isOlder = true
      closeAll()
    },
    stop: async () => {
      proxy.close()
      closeAll()
      await server.stop()
    },
  }
}

/** All bytes as `latin1`. */
type Args = readonly string[]

/** What the server is sent in place of a command. */
function translate(args: Args, dialect: Dialect): Args {
  const [, key = '', ...rest] = args
  const deletion = dialect === 'redis' ? 'DELEX' : 'DELIFEQ'
  switch (nameOf(args)) {
    case 'EVAL':
    case 'EVALSHA':
    case 'SCRIPT':
      return failWith(`NOPERM User default has no permissions to run the '${args[0]}' command`)
    case 'COMMAND':
      return isWord(key, 'INFO') ? commandInfo(rest, deletion) : args
    case 'SET':
      return setIfEqual(key, rest) ?? args
    case deletion:
      return script(deleteIfEqual, key, [rest.at(-1) ?? '', deletion])
    default:
      return args
  }
}

function setIfEqual(key: string, [value, ...options]: Args): Args | undefined {
  const at = options.findIndex((option) => isWord(option, 'IFEQ'))
  if (at < 0) return undefined
  const others = options.filter((_, index) => index !== at && index !== at + 1)
  return script(setIfEqualScript, key, [options[at + 1] ?? '', value ?? '', ...others])
}

const setIfEqualScript = `
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' and current.err then return current end
if current ~= ARGV[1] then return false end
return redis.call('SET', KEYS[1], ARGV[2], unpack(ARGV, 3))`

const deleteIfEqual = `
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' and current.err then
  if ARGV[2] == 'DELIFEQ' then return current end
  return redis.error_reply('ERR Key should be of string type if conditions are specified')
end
if current ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`

function commandInfo(names: Args, deletion: string): Args {
  const entries = names.map((name) => (isWord(name, deletion) ? `{'${deletion}'}` : 'false'))
  return ['EVAL', `return {${entries.join(', ')}}`, '0']
}

/** As a script, so that the replies stay in the order of the commands. */
function failWith(message: string): Args {
  return ['EVAL', 'return redis.error_reply(ARGV[1])', '0', message]
}

function script(source: string, key: string, args: Args): Args {
  return ['EVAL', source, '1', key, ...args]
}

function nameOf([name = '']: Args): string {
  return name.toUpperCase()
}

function isWord(word: string, expected: string): boolean {
  return word.toUpperCase() === expected
}

/** Decodes the commands of a connection, which is read in chunks. */
class CommandParser {
  #bytes: Buffer = Buffer.alloc(0)

  add(chunk: Buffer): string[][] {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    const commands: string[][] = []
    for (;;) {
      const command = decodeReply(this.#bytes, 0, 'latin1')
      if (command === undefined) return commands
      commands.push(command.value as string[])
      this.#bytes = this.#bytes.subarray(command.end)
    }
  }
}
