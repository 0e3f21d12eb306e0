// node run.mjs FILE CASE URL: run one case of FILE and print as JSON what it found. An error of the
// SDK is a result as well: its class, and what it knows.
const [file, name, url] = process.argv.slice(2);
const cases = await import(`./${file}`);

async function found() {
  try {
    return await cases[name](url);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return {
      error: error.constructor.name,
      status: error.status,
      code: error.code,
      param: error.param,
      type: error.type ?? error.error?.error?.type,
      request: error.requestID,
      message: error.message,
    };
  }
}

console.log(JSON.stringify(await found()));
