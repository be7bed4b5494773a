"""`ift data upload`."""

from __future__ import annotations

from typing import Any

import click

from ift_sagemaker.cli.options import as_json, print_json, session_of, target_options


@click.command()
@click.argument("source", type=click.Path())
@click.argument("s3_uri", required=False)
@click.option("--kms-key", metavar="ARN", help="Encrypt with this KMS key instead of the bucket's default.")
@click.option("--owner", metavar="ACCOUNT", help="Account the bucket must belong to; default: your own.")
@target_options
@as_json
def upload(
    source: str,
    s3_uri: str | None,
    kms_key: str | None,
    owner: str | None,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Send a file or folder to S3, below a name made of its content, with a manifest beside it.

    What is there already is not sent again, and what was begun is carried on. S3_URI is s3://BUCKET/PREFIX;
    without it data goes to ift/data in the bucket of --bucket. Prints the data's address.
    """
    from ift_sagemaker.report.progress import UploadBar

    session = session_of(options)
    with UploadBar() as bar:
        session.on_upload = bar
        done = session.upload(source, kms_key=kms_key, owner=owner, **({"prefix": s3_uri} if s3_uri else {}))
    if as_json:
        print_json(done.to_dict())
        return
    for remark in done.remarks:
        click.echo(f"note: {remark}", err=True)
    click.echo(
        f"sent {done.sent} bytes, {done.present} were there, {done.resumed} were sent by an earlier run; "
        f"manifest {done.manifest_uri}",
        err=True,
    )
    click.echo(done.uri)
