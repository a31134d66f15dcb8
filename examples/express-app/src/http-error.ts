/** A request that is answered with a page of this status. Errors of Express and its body parser have a `status` too. */
export class HttpError extends Error {
  readonly status: number

  constructor(status: number) {
    super(`Answered with ${status}`)
    this.status = status
  }
}
