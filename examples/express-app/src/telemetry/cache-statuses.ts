import type { RequestHandler } from 'express'

/** How a request was answered, as its header `Cache-Status` says. */
export interface AnsweredRequest {
  readonly path: string
  readonly cacheStatus: string
}

const maxRequests = 5

/** Remembers the `Cache-Status` of the last responses. */
export class CacheStatuses {
  #last: readonly AnsweredRequest[] = []

  /** The last ones first. */
  get last(): readonly AnsweredRequest[] {
    return this.#last
  }

  readonly record: RequestHandler = (req, res, next) => {
    res.once('finish', () => {
      const cacheStatus = res.getHeader('Cache-Status')
      if (typeof cacheStatus !== 'string') return
      this.#last = [{ path: req.originalUrl, cacheStatus }, ...this.#last].slice(0, maxRequests)
    })
    next()
  }
}
