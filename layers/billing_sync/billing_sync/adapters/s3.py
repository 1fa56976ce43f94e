"""Plans and reports in S3, encrypted by the bucket's default, written in constant memory."""

import tempfile
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from billing_sync.domain.errors import Misconfigured

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

IN_MEMORY_BYTES: Final = 1_000_000
UNWRITABLE: Final = frozenset({"AccessDenied", "NoSuchBucket", "InvalidBucketName"})


class S3RunFiles:
    """The bucket of one stack (`RunFiles`)."""

    def __init__(self, bucket: str) -> None:
        """Keep the name; the client is made on first use."""
        self._bucket = bucket

    @cached_property
    def _client(self) -> "S3Client":
        import boto3  # noqa: PLC0415 - costs a cold start 130 ms

        return boto3.client("s3")

    def write(self, key: str, chunks: Iterator[bytes], content_type: str) -> None:
        """Write a file; a large one spills to the function's disk on its way."""
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:
            for chunk in chunks:
                file.write(chunk)
            file.seek(0)
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=file, ContentType=content_type
            )

    def probe(self) -> None:
        """Write a small file, so that a missing right is found before a run needs it.

        :raises Misconfigured: there is no such bucket, or it may not be written.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415

        try:
            self.write("runs/.probe", iter([b"ok"]), "text/plain")
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code not in UNWRITABLE:
                raise
            raise Misconfigured(f"S3 answers {code}.", code="bucket_not_writable") from None
