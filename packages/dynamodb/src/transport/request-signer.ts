import { createHmac, hash } from 'node:crypto'

/** Credentials as the SDK resolves them. */
export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
  readonly accountId?: string | undefined
}

/** What a signature is bound to. */
export interface SigningScope {
  readonly host: string
  readonly region: string
  readonly service: string
}

export const contentType = 'application/x-amz-json-1.0'

/**
 * Signs requests with AWS Signature Version 4: `POST /` with a JSON body. Deriving the signing key takes four of the five
 * HMACs of a signature, so it is kept until the secret, the day or the region changes.
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export class RequestSigner {
  #secret: string | undefined
  #scope = ''
  #key: Buffer = Buffer.alloc(0)
  #second = 0
  #timestamp = ''

  /** The headers of a request, the signature included. `time` is in epoch milliseconds. */
  sign(
    credentials: Credentials,
    { host, region, service }: SigningScope,
    target: string,
    body: string,
    time: number,
  ): Record<string, string> {
    const { accessKeyId, secretAccessKey, sessionToken } = credentials
    const timestamp = this.#timestampOf(time)
    const scope = `${timestamp.slice(0, 8)}/${region}/${service}/aws4_request`
    const [tokenLine, tokenName] =
      sessionToken === undefined
        ? ['', '']
        : [`x-amz-security-token:${sessionToken}\n`, 'x-amz-security-token;']
    const names = `content-type;host;x-amz-date;${tokenName}x-amz-target`
    const request = `POST\n/\n\ncontent-type:${contentType}\nhost:${host}\nx-amz-date:${timestamp}\n${tokenLine}x-amz-target:${target}\n\n${names}\n${hash('sha256', body)}`
    const text = `AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${hash('sha256', request)}`
    const signature = createHmac('sha256', this.#keyFor(secretAccessKey, scope)).update(text)
    const headers: Record<string, string> = {
      host,
      'content-type': contentType,
      'x-amz-date': timestamp,
      'x-amz-target': target,
      authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature.digest('hex')}`,
    }
    if (sessionToken !== undefined) headers['x-amz-security-token'] = sessionToken
    return headers
  }

  /** ISO 8601 without separators, for example 20261121T181500Z. */
  #timestampOf(time: number): string {
    const second = Math.floor(time / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#timestamp = new Date(time).toISOString().replaceAll(/[-:]|\.\d+/g, '')
    }
    return this.#timestamp
  }

  #keyFor(secret: string, scope: string): Buffer {
    if (secret !== this.#secret || scope !== this.#scope) {
      this.#key = scope.split('/').reduce(hmac, Buffer.from(`AWS4${secret}`))
      this.#secret = secret
      this.#scope = scope
    }
    return this.#key
  }
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
