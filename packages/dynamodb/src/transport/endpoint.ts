import { type DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb'
import type { SigningScope } from './request-signer.ts'

/** Where and how the SDK sends its requests. */
export interface Endpoint extends SigningScope {
  /** For example https://dynamodb.eu-central-1.amazonaws.com */
  readonly origin: string
  readonly userAgent: string
}

interface SignedRequest {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly query?: object
  readonly username?: string
  readonly headers: Readonly<Record<string, string>>
}

const scopePattern = /^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/([^/]+)\/([^/]+)\/aws4_request,/

/**
 * Finds out where the SDK would send a request and for which region it would sign it, by letting it prepare one that is
 * then not sent. Only the SDK knows all rules: environment, shared configuration, FIPS, dual stack, account endpoints.
 * @returns `undefined` if requests need more than an address and a signature of version 4
 */
export async function resolveEndpoint(client: DynamoDBClient): Promise<Endpoint | undefined> {
  const { protocol, hostname, port, path, query, username, headers } = await prepareRequest(client)
  const scope = scopePattern.exec(headers.authorization ?? '')
  const isPlain = path === '/' && Object.keys(query ?? {}).length === 0 && username === undefined
  if (!isPlain || scope === null) return undefined
  const host = headers.host ?? (port === undefined ? hostname : `${hostname}:${port}`)
  const [, region = '', service = ''] = scope
  const userAgent = headers['user-agent'] ?? headers['x-amz-user-agent'] ?? ''
  return { origin: `${protocol}//${host}`, host, region, service, userAgent }
}

async function prepareRequest(client: DynamoDBClient): Promise<SignedRequest> {
  let request: unknown
  const command = new GetItemCommand({ TableName: 'table', Key: {} })
  command.middlewareStack.add(
    () => async (args) => {
      request = args.request
      return { output: { $metadata: {} }, response: undefined }
    },
    { step: 'deserialize', name: 'captureRequest', priority: 'high' },
  )
  const { middlewareStack, config } = client
  await command.resolveMiddleware(middlewareStack, config, {})(command)
  return request as SignedRequest
}
