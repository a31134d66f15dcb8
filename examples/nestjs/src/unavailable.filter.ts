import { type ArgumentsHost, Catch } from '@nestjs/common'
import { BaseExceptionFilter } from '@nestjs/core'
import { CacheError } from '@stowage/core'

/** A backend that may reply later is a 503. Other errors are handled as usual. */
@Catch()
export class UnavailableFilter extends BaseExceptionFilter {
  override catch(error: unknown, host: ArgumentsHost): void {
    if (CacheError.is(error) && error.retryable) {
      const response = host.switchToHttp().getResponse()
      response.status(503).set('Retry-After', '5').json({ error: error.code })
    } else super.catch(error, host)
  }
}
